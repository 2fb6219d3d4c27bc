/** The overlay's tables on a simulated disk, as SQLite keeps them: each change is atomic, and durable once synced. */
import type { FileId, Ino } from "../../base/ids.ts";
import type { Random } from "../../base/random.ts";
import type { InodeRow, StateTables, TableChange } from "../../overlay/disk/storage.ts";

/** One committed state of the tables. */
export interface TableContents {
  readonly inodes: ReadonlyMap<Ino, InodeRow>;
  readonly objects: ReadonlyMap<Ino, Uint8Array>;
  readonly sealed: ReadonlyMap<Ino, Uint8Array>;
  readonly head: Uint8Array | undefined;
}

export function emptyTables(): TableContents {
  return { inodes: new Map(), objects: new Map(), sealed: new Map(), head: undefined };
}

export class SimulatedTables implements StateTables {
  readonly #before: (call: "apply" | "sync tables") => void;
  /** Committed states since the last sync; the first one is durable. */
  #versions: readonly TableContents[];

  constructor(before: (call: "apply" | "sync tables") => void, versions: readonly TableContents[]) {
    this.#before = before;
    this.#versions = versions;
  }

  get versions(): readonly TableContents[] {
    return this.#versions;
  }

  get latest(): TableContents {
    return this.#versions.at(-1) ?? emptyTables();
  }

  survivor(random: Random): TableContents {
    return this.#versions[Math.floor(random.fraction() * this.#versions.length)] ?? emptyTables();
  }

  inode(ino: Ino): InodeRow | undefined {
    return this.latest.inodes.get(ino);
  }

  inodeOf(id: FileId): InodeRow | undefined {
    for (const row of this.latest.inodes.values()) if (row.id === id) return row;
    return undefined;
  }

  greatestIno(): number {
    return Math.max(0, ...this.latest.inodes.keys());
  }

  inosBelow(ino: Ino, limit: number): Ino[] {
    const below = [...this.latest.inodes.keys()].filter((each) => each < ino);
    return below.sort((a, b) => b - a).slice(0, limit);
  }

  head(): Uint8Array | undefined {
    return this.latest.head;
  }

  objects(): Iterable<Uint8Array> {
    return this.latest.objects.values();
  }

  sealed(): Iterable<Uint8Array> {
    return this.latest.sealed.values();
  }

  apply(change: TableChange): void {
    this.#before("apply");
    const { latest } = this;
    const inodes = new Map(latest.inodes);
    const objects = new Map(latest.objects);
    for (const ino of change.removedInodes) inodes.delete(ino);
    for (const row of change.inodes) {
      for (const [ino, other] of inodes) if (other.id === row.id) inodes.delete(ino);
      inodes.set(row.ino, row);
    }
    for (const ino of change.removedObjects) objects.delete(ino);
    for (const [ino, bytes] of change.objects) objects.set(ino, bytes);
    const sealed = change.sealed === undefined ? latest.sealed : new Map(change.sealed);
    this.#versions = [...this.#versions, { inodes, objects, sealed, head: change.head ?? latest.head }];
  }

  async sync(): Promise<void> {
    this.#before("sync tables");
    this.#versions = [this.latest];
  }

  close(): void {}
}
