/**
 * Makes a damaged pack whole again. Intact blocks prove themselves by their hashes. The gaps between them are identified by
 * the remaining rows, and filled from copies of the blocks. Blocks keep their offsets, so that rows elsewhere stay valid.
 */
import { MAX_BLOCK_ACCEPTED } from "../base/limits.ts";
import { blake3, HASH_BYTES } from "../crypto/hash.ts";
import { digestText } from "../format/blocks/cid.ts";
import {
  footerHash,
  footerOffset,
  PACK_ROW_BYTES,
  PACK_TAIL_BYTES,
  PackFooter,
  type PackRow,
  type PackShape,
  PLAIN,
} from "../format/blocks/pack.ts";
import { isBlockOf } from "./block-check.ts";
import { byOffset } from "./pack-rows.ts";

export interface HealedPack {
  /** The blocks' bytes, back to back. */
  readonly blocks: Uint8Array;
  /** They cover `blocks` exactly. */
  readonly rows: readonly PackRow[];
  /** Number of blocks or rows that were restored. */
  readonly healed: number;
  /** Number of blocks that no row tells: their bytes are taken as they are. */
  readonly guessed: number;
  /** Digests, as in `rows`, of blocks without a copy: their rows stay, over wrong bytes. */
  readonly lost: ReadonlySet<Uint8Array>;
}

/** Finds the bytes of a block elsewhere. */
export type FindCopy = (digest: Uint8Array) => Promise<Uint8Array | undefined>;

/**
 * Heals the blocks of a pack. `believed` are rows from its own footer or from runs, right or wrong; `blockBytes` is where
 * its footer begins, or should.
 */
export async function healBlocks(
  bytes: Uint8Array,
  blockBytes: number,
  believed: readonly PackRow[],
  find: FindCopy,
): Promise<HealedPack> {
  const blocks = new Uint8Array(blockBytes);
  blocks.set(bytes.subarray(0, blockBytes));
  const { sound, suspects } = sift(blocks, believed);
  const healer = new Healer(blocks, suspects, find);
  for (const row of sound) {
    await healer.fillTo(row.offset);
    healer.keep(row);
  }
  await healer.fillTo(blockBytes);
  const { rows, healed, guessed, lost } = healer;
  return { blocks, rows, healed, guessed, lost };
}

/** A pack's shape, from its last bytes. Corrects one wrong bit in the sizes if the footer's hash proves it. */
export function provenShape(bytes: Uint8Array): PackShape | undefined {
  const end = Buffer.from(bytes.subarray(-PACK_TAIL_BYTES));
  if (end.length < PACK_TAIL_BYTES) return undefined;
  const told = { rows: end.readUInt32LE(HASH_BYTES), manifestBytes: end.readUInt32LE(HASH_BYTES + 4) };
  const size = bytes.length;
  const guesses: PackShape[] = [{ size, ...told }];
  for (let bit = 0; bit < 32; bit++) {
    guesses.push({ size, rows: flipped(told.rows, bit), manifestBytes: told.manifestBytes });
    guesses.push({ size, rows: told.rows, manifestBytes: flipped(told.manifestBytes, bit) });
  }
  return guesses.find((shape) => footerOffset(shape) >= 0 && isProven(bytes, shape));
}

function flipped(size: number, bit: number): number {
  return (size ^ (1 << bit)) >>> 0;
}

function isProven(bytes: Uint8Array, { rows, manifestBytes }: PackShape): boolean {
  const tail = bytes.length - PACK_TAIL_BYTES;
  const start = tail - manifestBytes - rows * PACK_ROW_BYTES;
  const hash = footerHash(bytes.subarray(start, tail), rows, manifestBytes);
  return Buffer.compare(hash, bytes.subarray(tail, tail + HASH_BYTES)) === 0;
}

/** The rows in the bytes where a footer should be; some may be nonsense. */
export function readRows(bytes: Uint8Array, footerStart: number, manifestBytes: number): PackRow[] {
  const end = bytes.length - PACK_TAIL_BYTES - manifestBytes;
  const count = Math.max(0, Math.floor((end - footerStart) / PACK_ROW_BYTES));
  return [...new PackFooter(bytes.subarray(footerStart, footerStart + count * PACK_ROW_BYTES))];
}

/** How many ends of a block are tried by hashing where its row is damaged: bounds the hashes at one place. */
const ENDS_TRIED = 8;

class Healer {
  readonly rows: PackRow[] = [];
  readonly lost = new Set<Uint8Array>();
  healed = 0;
  guessed = 0;
  readonly #blocks: Uint8Array;
  readonly #find: FindCopy;
  /** By offset. */
  readonly #suspects: readonly PackRow[];
  readonly #digests: ReadonlyMap<string, Uint8Array>;
  readonly #ends: readonly number[];
  #at = 0;

  constructor(blocks: Uint8Array, suspects: readonly PackRow[], find: FindCopy) {
    this.#blocks = blocks;
    this.#find = find;
    this.#suspects = suspects;
    this.#digests = new Map(suspects.map(({ digest }) => [digestText(digest), digest]));
    const ends = suspects.flatMap(({ offset, length }) => [offset, offset + length]);
    this.#ends = [...new Set(ends)].sort((a, b) => a - b);
  }

  keep(row: PackRow): void {
    this.rows.push(row);
    this.#at = row.offset + row.length;
  }

  /** Covers the bytes before `end`, where an intact block or the footer begins. */
  async fillTo(end: number): Promise<void> {
    while (this.#at < end) {
      const offset = this.#at;
      const proven = this.#provenRow(end);
      const mayBe = (row: PackRow) => row.offset === offset && row.length > 0 && offset + row.length <= end;
      const suspect = proven ?? this.#suspects.find(mayBe);
      if (proven !== undefined) this.healed++;
      else if (suspect !== undefined) await this.#restore(suspect);
      this.keep(suspect === undefined ? this.#unknownRow(end) : { ...suspect, codec: PLAIN });
    }
  }

  /** A row whose digest matches the bytes here, up to any end that the rows suggest. */
  #provenRow(end: number): PackRow | undefined {
    const ends = this.#ends.filter((other) => other > this.#at && other < end).slice(0, ENDS_TRIED);
    for (const to of [end, ...ends]) {
      const length = to - this.#at;
      if (length > MAX_BLOCK_ACCEPTED) continue;
      const digest = this.#digests.get(digestText(blake3(this.#blocks.subarray(this.#at, to))));
      if (digest !== undefined) return { digest, offset: this.#at, length, codec: PLAIN };
    }
    return undefined;
  }

  async #restore({ digest, offset, length }: PackRow): Promise<void> {
    const copy = await this.#find(digest);
    if (copy?.length === length) {
      this.#blocks.set(copy, offset);
      this.healed++;
    } else this.lost.add(digest);
  }

  /** Without a row left, the bytes themselves identify their block. */
  #unknownRow(end: number): PackRow {
    const offset = this.#at;
    const next = this.#suspects.find((row) => row.offset > offset && row.offset < end)?.offset ?? end;
    const length = Math.min(next - offset, MAX_BLOCK_ACCEPTED);
    this.healed++;
    this.guessed++;
    return { digest: blake3(this.#blocks.subarray(offset, offset + length)), offset, length, codec: PLAIN };
  }
}

/** Rows with an intact block, without overlaps, and all others; both by offset. */
function sift(blocks: Uint8Array, believed: readonly PackRow[]): { sound: PackRow[]; suspects: PackRow[] } {
  const sound: PackRow[] = [];
  const suspects: PackRow[] = [];
  const digests = new Set<string>();
  let end = 0;
  for (const row of believed.toSorted(byOffset)) {
    const within = row.codec === PLAIN && row.length > 0 && row.offset + row.length <= blocks.length;
    const place = blocks.subarray(row.offset, row.offset + row.length);
    const intact = within && row.offset >= end && isBlockOf(row, place);
    if (!intact || digests.has(digestText(row.digest))) {
      suspects.push(row);
      continue;
    }
    sound.push(row);
    digests.add(digestText(row.digest));
    end = row.offset + row.length;
  }
  return { sound, suspects: suspects.filter(({ digest }) => !digests.has(digestText(digest))) };
}
