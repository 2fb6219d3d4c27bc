/**
 * The overlay's tables on a simulated disk, as SQLite keeps them: each change is atomic, and durable once synced. After a
 * failed sync they are in memory only, and no later sync writes them unless they are written again.
 */
import type { FileId, Ino } from "../../base/ids.ts";
import type { Random } from "../../base/random.ts";
import { Stopped } from "./faulty-disk.ts";
import type { Place } from "../../fstree/object-rows.ts";
import type { InodeRow, ObjectRow, PlacedNumber, StateTables, TableChange } from "../../overlay/disk/storage.ts";

/** One committed state of the tables. */
interface TableContents {
  readonly inodes: ReadonlyMap<Ino, InodeRow>;
  readonly objects: ReadonlyMap<Ino, Uint8Array>;
  readonly sealed: ReadonlyMap<Ino, Uint8Array>;
  readonly head: Uint8Array | undefined;
}

function emptyTables(): TableContents {
  return { inodes: new Map(), objects: new Map(), sealed: new Map(), head: undefined };
}

export type TableCall = "apply" | "sync tables" | "rewrite tables";

export class SimulatedTables implements StateTables {
  readonly #before: (call: TableCall) => void;
  /** Committed states since the last sync; the first one is durable. */
  #versions: readonly TableContents[];
  #forgot: boolean;

  constructor(before: (call: TableCall) => void, versions: readonly TableContents[] = [emptyTables()], forgot = false) {
    this.#before = before;
    this.#versions = versions;
    this.#forgot = forgot;
  }

  /** The tables as a new process finds them. */
  copy(before: (call: TableCall) => void): SimulatedTables {
    return new SimulatedTables(before, this.#versions, this.#forgot);
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

  numberOf(id: FileId, { parent, name }: Place): PlacedNumber | undefined {
    const row = this.inodeOf(id);
    return row && { ino: row.ino, isThere: row.parent === parent && row.name === name };
  }

  greatestIno(): number {
    return Math.max(0, ...this.latest.inodes.keys());
  }

  inosBelow(ino: Ino, limit: number): Ino[] {
    const below = [...this.latest.inodes.keys()].filter((each) => each < ino);
    return below.sort((a, b) => b - a).slice(0, limit);
  }

  inodesBelow(ino: Ino, limit: number): InodeRow[] {
    return this.inosBelow(ino, limit).flatMap((each) => this.inode(each) ?? []);
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
    for (const [ino, bytes] of change.objects) {
      if (bytes === undefined) objects.delete(ino);
      else objects.set(ino, bytes.slice());
    }
    const sealed = new Map(change.otherFlight ? [] : latest.sealed);
    for (const [ino, bytes] of change.sealed) sealed.set(ino, bytes);
    this.#versions = [...this.#versions, { inodes, objects, sealed, head: change.head ?? latest.head }];
  }

  async applyInPortions(
    portions: readonly Iterable<ObjectRow>[],
    rest: () => TableChange,
    between: () => Promise<void>,
  ): Promise<void> {
    const objects: ObjectRow[] = [];
    for (const [index, portion] of portions.entries()) {
      if (index > 0) await between();
      if (index < portions.length - 1) this.#before("apply");
      for (const [ino, bytes] of portion) objects.push([ino, bytes?.slice()]);
    }
    const change = rest();
    this.apply({ ...change, objects: [...objects, ...change.objects] });
  }

  async sync(): Promise<void> {
    try {
      this.#before("sync tables");
    } catch (error) {
      if (!(error instanceof Stopped)) this.#forgot = true;
      throw error;
    }
    if (!this.#forgot) this.#versions = [this.latest];
  }

  rewrite(): void {
    this.#before("rewrite tables");
    this.#forgot = false;
  }

  compact(): void {}

  close(): void {}
}
