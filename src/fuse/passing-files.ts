/**
 * Files that are repeatedly created, synced and removed under one name, such as a database's rollback journal: one per
 * transaction.
 *
 * They are not read, so the next one bypasses the kernel's page cache. In the page cache, writing part of a page costs a
 * request per page, and asks for `security.capability` after each answer with attributes. All of this is a hint in memory.
 */
import type { FileName, Ino } from "../base/ids.ts";

/** The most recently synced files, and the most names, that are remembered. */
const REMEMBERED = 64;
/** Consecutive files of a name that must have passed. */
const PASSES = 3;
/** A file that is synced more often is kept: it is the database itself, in a test that recreates it each time. */
const FEW_SYNCS = 3;
/** After more reads than this, the page cache would be better. */
const FEW_READS = 16;
const NEVER = -Infinity;

interface PassingFile {
  readonly key: string;
  reads: number;
}

export class PassingFiles {
  /** Whether the kernel can map such files shared, and drops its cached data of them in other ways. */
  allowed = false;
  /** Sync counts of recently synced files. */
  readonly #syncs = new Map<Ino, number>();
  /** How many files of a name passed. */
  readonly #passes = new Map<string, number>();
  /** Open files that bypass the page cache. */
  readonly #open = new Map<Ino, PassingFile>();

  synced(ino: Ino): void {
    if (this.allowed) remember(this.#syncs, ino, (this.#syncs.get(ino) ?? 0) + 1);
  }

  /** The file's last name was removed. */
  removed(ino: Ino, parent: Ino, name: FileName): void {
    const syncs = this.#syncs.get(ino);
    if (syncs === undefined) return;
    this.#syncs.delete(ino);
    const key = keyOf(parent, name);
    const passes = this.#passes.get(key) ?? 0;
    if (passes !== NEVER) remember(this.#passes, key, syncs > FEW_SYNCS ? 0 : passes + 1);
  }

  /** A file is created and opened. Returns whether to bypass the page cache. */
  made(ino: Ino, parent: Ino, name: FileName): boolean {
    if (this.#passes.size === 0) return false;
    const key = keyOf(parent, name);
    if ((this.#passes.get(key) ?? 0) < PASSES) return false;
    this.#open.set(ino, { key, reads: 0 });
    return true;
  }

  /** Whether the open file bypasses the page cache. */
  has(ino: Ino): boolean {
    return this.#open.size > 0 && this.#open.has(ino);
  }

  /** Opened a second time. Returns whether to bypass the page cache, as before: cached data could become stale. */
  opened(ino: Ino): boolean {
    const file = this.#open.get(ino);
    if (file !== undefined) this.#passes.set(file.key, NEVER);
    return file !== undefined;
  }

  read(ino: Ino): void {
    const file = this.#open.size > 0 ? this.#open.get(ino) : undefined;
    if (file !== undefined && ++file.reads > FEW_READS) this.#passes.set(file.key, NEVER);
  }

  /** The file is no longer open. */
  closed(ino: Ino): void {
    this.#open.delete(ino);
  }
}

function keyOf(parent: Ino, name: FileName): string {
  return `${parent}/${name}`;
}

/** Sets a value and marks it as the most recent. */
function remember<K>(map: Map<K, number>, key: K, value: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= REMEMBERED) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
