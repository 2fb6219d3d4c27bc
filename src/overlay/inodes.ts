/**
 * Permanent inode numbers, and the object that each stands for. A number is never reused, even after a restart. Rows are
 * stored in the tables; new ones wait in memory until written there (the journal has them).
 */
import { BoundedMap } from "../base/bounded-map.ts";
import { type FileId, type Ino, ROOT_INO } from "../base/ids.ts";
import { INODE_BATCH } from "../base/limits.ts";
import type { Place } from "../fstree/object-rows.ts";
import type { InodeRow, PlacedNumber, StateTables } from "./disk/storage.ts";

export class Inodes {
  readonly #tables: StateTables;
  readonly #waiting = new Map<Ino, InodeRow>();
  readonly #waitingIds = new Map<FileId, Ino>();
  readonly #removed = new Set<Ino>();
  readonly #recent: BoundedMap<Ino, InodeRow>;
  readonly #recentIds: BoundedMap<FileId, Ino>;
  #next: number;
  #reserved = 0;

  constructor(tables: StateTables, capacity: number) {
    this.#tables = tables;
    this.#recent = new BoundedMap(capacity);
    this.#recentIds = new BoundedMap(capacity);
    this.#next = Math.max(ROOT_INO, tables.greatestIno()) + 1;
  }

  /** The number that the next object gets. */
  get next(): Ino {
    return this.#next as Ino;
  }

  /** This number is in use. */
  use(ino: Ino): void {
    if (ino >= this.#next) this.#next = ino + 1;
  }

  /** No number below this one is free. */
  useBelow(next: number): void {
    this.#next = Math.max(this.#next, next);
  }

  /** No later process gives out numbers below this one, even if they are recorded nowhere. */
  reserve(end: number): void {
    this.#reserved = Math.max(this.#reserved, end);
  }

  isReserved(ino: Ino): boolean {
    return ino < this.#reserved;
  }

  row(ino: Ino): InodeRow | undefined {
    const waiting = this.#waiting.get(ino);
    if (waiting !== undefined || this.#removed.has(ino)) return waiting;
    const recent = this.#recent.get(ino);
    if (recent !== undefined && this.#recentIds.get(recent.id) === ino && !this.#waitingIds.has(recent.id))
      return recent;
    const row = this.#tables.inode(ino);
    // A number waiting to be written has taken over this id.
    if (row === undefined || this.#waitingIds.has(row.id)) return undefined;
    this.#remember(row);
    return row;
  }

  find(id: FileId): InodeRow | undefined {
    const ino = this.#waitingIds.get(id) ?? this.#recentIds.get(id);
    const known = ino === undefined ? undefined : this.row(ino);
    if (known?.id === id) return known;
    const row = this.#tables.inodeOf(id);
    // A number that waits to be written, or was removed, stands for this id no longer.
    if (row === undefined || this.#removed.has(row.ino) || this.#waiting.has(row.ino)) return undefined;
    this.#remember(row);
    return row;
  }

  /** As `find`, but only the number, and whether its row has this place. Faster, but remembers nothing. */
  numberOf(id: FileId, place: Place): PlacedNumber | undefined {
    const ino = this.#waitingIds.get(id) ?? this.#recentIds.get(id);
    const known = ino === undefined ? undefined : this.row(ino);
    if (known?.id === id) {
      const isThere = known.parent === place.parent && known.name === place.name;
      return { ino: known.ino, isThere };
    }
    const found = this.#tables.numberOf(id, place);
    return found === undefined || this.#removed.has(found.ino) || this.#waiting.has(found.ino) ? undefined : found;
  }

  /** All inode numbers in use, newest first. They may change during the iteration. */
  *numbers(): Generator<Ino> {
    yield* [...this.#waiting.keys()].reverse();
    for (let below = this.next; ;) {
      const page = this.#tables.inosBelow(below, INODE_BATCH);
      yield* page;
      const last = page.at(-1);
      if (last === undefined) return;
      below = last;
    }
  }

  /** Up to `limit` rows of the tables below this number, the greatest first. Changes may be waiting for some. */
  rowsBelow(ino: Ino, limit: number): InodeRow[] {
    return this.#tables.inodesBelow(ino, limit);
  }

  /** Sets what a number stands for. If another number stood for this id, that one now stands for nothing. */
  put(row: InodeRow): void {
    // If only the tables have the other number, the new row replaces it there.
    const before = this.#waitingIds.get(row.id) ?? this.#recentIds.get(row.id);
    if (before !== undefined && before !== row.ino && this.row(before)?.id === row.id) this.remove(before);
    const old = this.#waiting.get(row.ino);
    if (old !== undefined && old.id !== row.id) this.#waitingIds.delete(old.id);
    this.use(row.ino);
    this.#removed.delete(row.ino);
    this.#waiting.set(row.ino, row);
    this.#waitingIds.set(row.id, row.ino);
  }

  remove(ino: Ino): void {
    const row = this.#waiting.get(ino);
    this.#waiting.delete(ino);
    if (row !== undefined && this.#waitingIds.get(row.id) === ino) this.#waitingIds.delete(row.id);
    this.#recent.delete(ino);
    this.#removed.add(ino);
  }

  /** How many changes the tables lack. */
  get waiting(): number {
    return this.#waiting.size + this.#removed.size;
  }

  /** Up to `limit` changes that the tables lack; `written` removes them from the list. */
  take(limit: number): { readonly inodes: InodeRow[]; readonly removedInodes: Ino[] } {
    const inodes: InodeRow[] = [];
    const removedInodes: Ino[] = [];
    for (const ino of this.#removed) {
      if (removedInodes.length >= limit) break;
      removedInodes.push(ino);
    }
    for (const row of this.#waiting.values()) {
      if (removedInodes.length + inodes.length >= limit) break;
      inodes.push(row);
    }
    return { inodes, removedInodes };
  }

  /** These changes are in the tables. */
  written(changes: { readonly inodes: readonly InodeRow[]; readonly removedInodes: readonly Ino[] }): void {
    for (const ino of changes.removedInodes) this.#removed.delete(ino);
    for (const row of changes.inodes) {
      this.#waiting.delete(row.ino);
      this.#waitingIds.delete(row.id);
      this.#remember(row);
    }
  }

  #remember(row: InodeRow): void {
    this.#recent.set(row.ino, row);
    this.#recentIds.set(row.id, row.ino);
  }
}
