/**
 * The blocks that must stay, numbered in the order in which they were found. Some 56 bytes of memory each with their places,
 * outside the JavaScript heap.
 */
import { DigestTable } from "../../base/digest-table.ts";
import type { WordMemory } from "../../base/word-memory.ts";
import type { Codec } from "../../format/blocks/cid.ts";
import { PLACEMENT_WORDS } from "./block-table.ts";

/** A record's words: where the live row's block lies (live-rows.ts), then `position u28 ‖ tags u4`. */
const TAGS = PLACEMENT_WORDS;
/** The tags that say what a block is marked as; the others are the live row's. */
const MARKS = 3;
const KINDS: readonly (Codec | undefined)[] = [undefined, "raw", "dag-cbor"];

export class NeededBlocks {
  readonly memory: WordMemory;
  readonly table: DigestTable;
  #marked = 0;

  constructor(memory: WordMemory) {
    this.memory = memory;
    this.table = new DigestTable(memory, PLACEMENT_WORDS + 1);
  }

  /** How many are marked: reached by a retained commit. */
  get marked(): number {
    return this.#marked;
  }

  /** Marked or not. */
  get size(): number {
    return this.table.size;
  }

  /** What a block is marked as; undefined if it is not marked. */
  kindOf(number: number): Codec | undefined {
    return KINDS[this.table.get(number, TAGS) & MARKS];
  }

  isMarked(digest: Uint8Array): boolean {
    return this.markedAs(digest) !== undefined;
  }

  markedAs(digest: Uint8Array): Codec | undefined {
    const number = this.table.find(digest);
    return number < 0 ? undefined : this.kindOf(number);
  }

  /** Throws `limit_exceeded`. */
  mark(digest: Uint8Array, kind: Codec): void {
    const number = this.table.add(digest);
    const tags = this.table.get(number, TAGS);
    if ((tags & MARKS) === 0) this.#marked++;
    this.table.set(number, TAGS, tags - (tags & MARKS) + KINDS.indexOf(kind));
  }

  /** Adds a block without marking it, and returns its number. Throws `limit_exceeded`. */
  add(digest: Uint8Array): number {
    return this.table.add(digest);
  }

  /** What a live row notes besides its place. */
  noteAt(number: number): RowNote {
    const tags = this.table.get(number, TAGS);
    return { position: tags >>> 4, kind: (tags & 4) === 0 ? "raw" : "dag-cbor", hasOthers: (tags & 8) !== 0 };
  }

  setNote(number: number, { position, kind, hasOthers }: RowNote): void {
    const marks = this.table.get(number, TAGS) & MARKS;
    const note = position * 16 + (hasOthers ? 8 : 0) + (kind === "dag-cbor" ? 4 : 0);
    this.table.set(number, TAGS, note + marks);
  }
}

export interface RowNote {
  /** Rows are numbered in the order in which they were added. */
  readonly position: number;
  /** How the block was marked when its row was added. */
  readonly kind: Codec;
  /** Whether other packs hold it, too. */
  readonly hasOthers: boolean;
}
