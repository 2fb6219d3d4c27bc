/** What others change in the bucket, for work in steps that must not act on what came after it began. */
import type { FileId, Ino } from "../base/ids.ts";
import { MAX_INVALIDATIONS } from "../base/limits.ts";
import type { BaseChange } from "../fstree/change-set.ts";
import type { FileType } from "../format/files/record.ts";
import type { OthersWatch } from "./filesystem.ts";

/** What the filesystem knows of an inode. */
interface Known {
  /** Undefined: the bucket does not have it yet. */
  idOf(ino: Ino): FileId | undefined;
  /** Throws BlockMiss. */
  type(ino: Ino): FileType;
}

export class OthersChanges {
  readonly #watches = new Set<Watch>();

  watch(known: Known): OthersWatch {
    const watch = new Watch(known, () => this.#watches.delete(watch));
    this.#watches.add(watch);
    return watch;
  }

  /** Undefined: too many to list. */
  note(changes: readonly BaseChange[] | undefined): void {
    for (const watch of this.#watches) watch.note(changes);
  }
}

class Watch implements OthersWatch {
  readonly #known: Known;
  readonly #end: () => void;
  /** Objects whose entries changed. A directory's entry changes only when it gets a name. */
  readonly #entries = new Set<FileId>();
  /** Objects whose self-records changed. A directory's changes with its entries, too. */
  readonly #selves = new Set<FileId>();
  #isUnknown = false;

  constructor(known: Known, end: () => void) {
    this.#known = known;
    this.#end = end;
  }

  hasChanged(ino: Ino): boolean {
    if (this.#isUnknown) return true;
    const id = this.#known.idOf(ino);
    if (id === undefined) return false;
    return this.#entries.has(id) || (this.#selves.has(id) && this.#known.type(ino) !== "directory");
  }

  note(changes: readonly BaseChange[] | undefined): void {
    for (const change of changes ?? []) {
      if (change.kind === "self") this.#selves.add(change.id);
      else if (change.after !== undefined) this.#entries.add(change.after);
    }
    this.#isUnknown ||= changes === undefined || this.#entries.size + this.#selves.size > MAX_INVALIDATIONS;
  }

  [Symbol.dispose](): void {
    this.#end();
  }
}
