/** Tables of where blocks lie. They are outside the JavaScript heap, since a large bucket has many millions of blocks. */
import { DigestTable } from "../../base/digest-table.ts";
import type { PackName } from "../../base/ids.ts";
import type { WordMemory, WordRecords } from "../../base/word-memory.ts";
import type { RunRow } from "../../format/blocks/run.ts";
import type { Placement } from "../../packs/ranged-reads.ts";

/** Words of a placement: the pack's number plus one (0: no placement), the offset, and `length u24 ‖ codec u8`. */
export const PLACEMENT_WORDS = 3;
const CODECS = 2 ** 8;

/** Placements in the records of a table, from one word on. */
export class Placements {
  readonly #table: Pick<DigestTable | WordRecords, "get" | "set">;
  readonly #from: number;
  readonly #packs: PackNumbers;

  constructor(table: Pick<DigestTable | WordRecords, "get" | "set">, from: number, packs: PackNumbers) {
    this.#table = table;
    this.#from = from;
    this.#packs = packs;
  }

  set(record: number, { pack, offset, length, codec }: Placement): void {
    this.#table.set(record, this.#from, this.#packs.of(pack) + 1);
    this.#table.set(record, this.#from + 1, offset);
    this.#table.set(record, this.#from + 2, length * CODECS + codec);
  }

  get(record: number): Placement | undefined {
    const pack = this.#packs.name(this.packAt(record));
    if (pack === undefined) return undefined;
    const offset = this.#table.get(record, this.#from + 1);
    return { pack, offset, length: this.lengthAt(record), codec: this.#table.get(record, this.#from + 2) % CODECS };
  }

  /** The pack's number; -1 if there is no placement. */
  packAt(record: number): number {
    return this.#table.get(record, this.#from) - 1;
  }

  /** 0 if there is no placement. */
  lengthAt(record: number): number {
    return Math.floor(this.#table.get(record, this.#from + 2) / CODECS);
  }

  clear(record: number): void {
    for (let word = 0; word < PLACEMENT_WORDS; word++) this.#table.set(record, this.#from + word, 0);
  }
}

export class PackNumbers {
  readonly #names: PackName[] = [];
  readonly #numbers = new Map<PackName, number>();

  of(name: PackName): number {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    const number = this.#names.push(name) - 1;
    this.#numbers.set(name, number);
    return number;
  }

  name(number: number): PackName | undefined {
    return this.#names[number];
  }
}

/** Where each of some blocks lies. */
export class PlacedBlocks {
  readonly #table: DigestTable;
  readonly #placements: Placements;

  constructor(memory: WordMemory) {
    this.#table = new DigestTable(memory, PLACEMENT_WORDS);
    this.#placements = new Placements(this.#table, 0, new PackNumbers());
  }

  get size(): number {
    return this.#table.size;
  }

  /** Throws `limit_exceeded`. */
  put(row: RunRow): void {
    this.#placements.set(this.#table.add(row.digest), row);
  }

  get(digest: Uint8Array): RunRow | undefined {
    const record = this.#table.find(digest);
    const placement = record < 0 ? undefined : this.#placements.get(record);
    return placement && { digest, ...placement };
  }
}
