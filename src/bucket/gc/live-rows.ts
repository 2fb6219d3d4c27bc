/**
 * Where the blocks lie that must stay, as one root maps them. The rows are in the records of the blocks, so newer live rows
 * of the same blocks replace older ones.
 */
import type { PackName } from "../../base/ids.ts";
import { sortByKey, WordRecords } from "../../base/word-memory.ts";
import type { Codec } from "../../format/blocks/cid.ts";
import type { RunRow } from "../../format/blocks/run.ts";
import { PackNumbers, PLACEMENT_WORDS, Placements } from "./block-table.ts";
import type { NeededBlocks } from "./needed-blocks.ts";

/** Where a block that must stay lies. */
export interface LiveRow extends RunRow {
  readonly kind: Codec;
  readonly number: number;
}

/** What must stay of a pack's blocks. */
export interface PackUse extends Readonly<Record<Codec, number>> {
  readonly rows: number;
}

export class LiveRows {
  readonly #needed: NeededBlocks;
  readonly #packs = new PackNumbers();
  readonly #placements: Placements;
  /** Other places of some blocks: the block's number, then a place. */
  readonly #others: WordRecords;
  readonly #otherPlacements: Placements;
  readonly #uses = new Map<PackName, { rows: number } & Record<Codec, number>>();
  #size = 0;

  constructor(needed: NeededBlocks) {
    this.#needed = needed;
    this.#placements = new Placements(needed.table, 0, this.#packs);
    this.#others = new WordRecords(needed.memory, 1 + PLACEMENT_WORDS);
    this.#otherPlacements = new Placements(this.#others, 1, this.#packs);
    for (let number = 0; number < needed.size; number++) this.#placements.clear(number);
  }

  /** How many blocks have a place. */
  get size(): number {
    return this.#size;
  }

  /** What stays of each pack that has any, in the order of their first rows. */
  get uses(): ReadonlyMap<PackName, PackUse> {
    return this.#uses;
  }

  /** How many of these packs' rows stay. */
  rowsIn(packs: Iterable<PackName>): number {
    let rows = 0;
    for (const pack of packs) rows += this.#uses.get(pack)?.rows ?? 0;
    return rows;
  }

  /** Adds a place of a block. Throws `limit_exceeded`. */
  add(number: number, kind: Codec, row: RunRow): void {
    const known = this.#placements.packAt(number);
    if (known < 0) this.#addFirst(number, kind, row);
    else if (known !== this.#packs.of(row.pack)) this.#addOther(number, row);
  }

  has(number: number): boolean {
    return this.#placements.packAt(number) >= 0;
  }

  /** The block's length in bytes; 0 if it has no place. */
  lengthOf(number: number): number {
    return this.#placements.lengthAt(number);
  }

  digestOf(number: number): Uint8Array {
    return this.#needed.table.digestOf(number);
  }

  hasOthers(number: number): boolean {
    return this.#needed.noteAt(number).hasOthers;
  }

  /** Uses another place of a block from now on. */
  move({ number, ...row }: LiveRow): void {
    this.#placements.set(number, row);
  }

  /** Those that are wanted, pack by pack, in the order of the packs' first wanted rows. Throws `limit_exceeded`. */
  *byPack(isWanted: (number: number, pack: PackName) => boolean): Generator<LiveRow[]> {
    const { memory } = this.#needed;
    const wanted = new WordRecords(memory, 1);
    const first = new Map<number, number>();
    for (let number = 0; number < this.#needed.size; number++) {
      const pack = this.#placements.packAt(number);
      const name = this.#packs.name(pack);
      if (name === undefined || !isWanted(number, name)) continue;
      wanted.set(wanted.add(), 0, number);
      const { position } = this.#needed.noteAt(number);
      first.set(pack, Math.min(position, first.get(pack) ?? Infinity));
    }
    const inOrder = [...first].sort(([, a], [, b]) => a - b);
    const ranks = new Map(inOrder.map(([pack], rank) => [pack, rank]));
    const rankOf = (at: number) => ranks.get(this.#placements.packAt(wanted.get(at, 0))) ?? 0;
    const { order, ends } = sortByKey(memory, wanted.size, ranks.size, rankOf);
    try {
      let from = 0;
      for (const end of ends) {
        const numbers = Array.from(order.subarray(from, end), (at) => wanted.get(at, 0));
        yield numbers.flatMap((number) => this.#row(number) ?? []);
        from = end;
      }
    } finally {
      memory.release(order);
      wanted.clear();
    }
  }

  /** By ascending digest. Throws `limit_exceeded`. */
  *sorted(): Generator<LiveRow> {
    for (const number of this.#needed.table.sorted()) {
      const row = this.#row(number);
      if (row !== undefined) yield row;
    }
  }

  /** Other places of these blocks, in the order of adding. */
  othersOf(numbers: ReadonlySet<number>): LiveRow[] {
    const found: LiveRow[] = [];
    for (let at = 0; numbers.size > 0 && at < this.#others.size; at++) {
      const number = this.#others.get(at, 0);
      if (!numbers.has(number)) continue;
      const [row, place] = [this.#row(number), this.#otherPlacements.get(at)];
      if (row !== undefined && place !== undefined) found.push({ ...row, ...place });
    }
    return found;
  }

  /** Frees the list of other places. */
  clear(): void {
    this.#others.clear();
  }

  #addFirst(number: number, kind: Codec, row: RunRow): void {
    this.#placements.set(number, row);
    this.#needed.setNote(number, { position: this.#size++, kind, hasOthers: false });
    let use = this.#uses.get(row.pack);
    if (use === undefined) this.#uses.set(row.pack, (use = { rows: 0, raw: 0, "dag-cbor": 0 }));
    use.rows++;
    use[kind] += row.length;
  }

  #addOther(number: number, row: RunRow): void {
    const at = this.#others.add();
    this.#others.set(at, 0, number);
    this.#otherPlacements.set(at, row);
    this.#needed.setNote(number, { ...this.#needed.noteAt(number), hasOthers: true });
  }

  #row(number: number): LiveRow | undefined {
    const place = this.#placements.get(number);
    if (place === undefined) return undefined;
    return { number, digest: this.digestOf(number), ...place, kind: this.#needed.noteAt(number).kind };
  }
}
