/**
 * Files that are made, synced and removed again under the same name: a database's rollback journal is one a transaction.
 *
 * Nobody reads them, so their next one is written past the kernel's page cache. There a write of part of a page is a request
 * a page, and asks for `security.capability` after each answer that told attributes. All of it is a hint in memory.
 */
import type { FileName, Ino } from "../base/ids.ts";

/** As many files that were synced lately, and as many names, are remembered. */
const REMEMBERED = 64;
/** So many files of a name must have passed, one after the other. */
const PASSES = 3;
/** Whoever syncs more often keeps the file: it is the database itself, in a test that makes it anew each time. */
const FEW_SYNCS = 3;
/** Who reads more often than this from one of them would be better off with the page cache. */
const FEW_READS = 16;
const NEVER = -Infinity;

interface PassingFile {
  readonly key: string;
  reads: number;
}

export class PassingFiles {
  /** Whether the kernel maps such files for sharing, and drops what it has of them in other ways. */
  allowed = false;
  /** How often files were synced that were so lately. */
  readonly #syncs = new Map<Ino, number>();
  /** How many files of a name passed. */
  readonly #passes = new Map<string, number>();
  /** Those that are open past the page cache. */
  readonly #open = new Map<Ino, PassingFile>();

  /** A file was synced. */
  synced(ino: Ino): void {
    if (this.allowed) remember(this.#syncs, ino, (this.#syncs.get(ino) ?? 0) + 1);
  }

  /** This was a file's last name. */
  removed(ino: Ino, parent: Ino, name: FileName): void {
    const syncs = this.#syncs.get(ino);
    if (syncs === undefined) return;
    this.#syncs.delete(ino);
    const key = keyOf(parent, name);
    const passes = this.#passes.get(key) ?? 0;
    if (passes !== NEVER) remember(this.#passes, key, syncs > FEW_SYNCS ? 0 : passes + 1);
  }

  /** A file is made, and opened: whether past the page cache. */
  made(ino: Ino, parent: Ino, name: FileName): boolean {
    if (this.#passes.size === 0) return false;
    const key = keyOf(parent, name);
    if ((this.#passes.get(key) ?? 0) < PASSES) return false;
    this.#open.set(ino, { key, reads: 0 });
    return true;
  }

  /** Whether the file is open past the page cache. */
  has(ino: Ino): boolean {
    return this.#open.size > 0 && this.#open.has(ino);
  }

  /** Somebody else opens the file, too: whether past the page cache, as the first did, for what is cached could become old. */
  opened(ino: Ino): boolean {
    const file = this.#open.get(ino);
    if (file !== undefined) this.#passes.set(file.key, NEVER);
    return file !== undefined;
  }

  read(ino: Ino): void {
    const file = this.#open.size > 0 ? this.#open.get(ino) : undefined;
    if (file !== undefined && ++file.reads > FEW_READS) this.#passes.set(file.key, NEVER);
  }

  /** Nobody has the file open any more. */
  closed(ino: Ino): void {
    this.#open.delete(ino);
  }
}

function keyOf(parent: Ino, name: FileName): string {
  return `${parent}/${name}`;
}

/** Sets what is remembered longest. */
function remember<K>(map: Map<K, number>, key: K, value: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= REMEMBERED) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
