/** Reads blocks at known places in as few ranged reads as the layout allows. */
import { groupBy } from "../base/collections.ts";
import { mapConcurrent } from "../base/concurrency.ts";
import { hasCode, isDamage, SynclineError } from "../base/errors.ts";
import type { Cid, PackName } from "../base/ids.ts";
import { COALESCE_GAP_BYTES, MAX_RANGED_READ_BYTES, STORE_CONCURRENCY } from "../base/limits.ts";
import { PLAIN } from "../format/blocks/pack.ts";
import { streamRanges, type ByteRange, type RangeSource } from "../objects/object-store.ts";

export interface Placement extends ByteRange {
  readonly pack: PackName;
  /** How its bytes are stored (format/blocks/pack.ts). */
  readonly codec: number;
}

/**
 * The blocks at these places, unverified. Throws `block_not_found` if a pack is gone, `block_corrupt` if it ends early, and
 * `feature_unknown` for a storage form unknown to this version; each error names the pack and a block. `lost` is told packs
 * that are gone or end early.
 */
export async function readPlaced(
  source: RangeSource,
  places: ReadonlyMap<Cid, Placement>,
  lost?: (pack: PackName) => void,
): Promise<Map<Cid, Uint8Array>> {
  const byPack = groupBy(places, ([, place]) => place.pack);
  const found = new Map<Cid, Uint8Array>();
  await mapConcurrent([...byPack], STORE_CONCURRENCY, async ([pack, blocks]) => {
    try {
      for (const [cid, bytes] of await readPack(source, pack, blocks)) found.set(cid, bytes);
    } catch (cause) {
      if (isDamage(cause)) lost?.(pack);
      throw cause;
    }
  });
  return found;
}

export interface PlannedRead<Placed extends ByteRange = Placement> extends ByteRange {
  readonly blocks: readonly (readonly [Cid, Placed])[];
}

type PlacedBlock = readonly [Cid, Placement];

/** Reads neighbors with gaps up to `gap` bytes together, up to `most` bytes a read. The defaults suit a remote store. */
export function planReads<Placed extends ByteRange>(
  blocks: readonly (readonly [Cid, Placed])[],
  { gap, most } = { gap: COALESCE_GAP_BYTES, most: MAX_RANGED_READ_BYTES },
): PlannedRead<Placed>[] {
  const reads: { offset: number; length: number; blocks: (readonly [Cid, Placed])[] }[] = [];
  for (const block of blocks.toSorted(([, a], [, b]) => a.offset - b.offset)) {
    const [, { offset, length }] = block;
    const last = reads.at(-1);
    const end = last === undefined ? 0 : last.offset + last.length;
    const joined = last === undefined ? 0 : Math.max(end, offset + length) - last.offset;
    if (last !== undefined && offset - end <= gap && joined <= most) {
      last.length = joined;
      last.blocks.push(block);
    } else {
      reads.push({ offset, length, blocks: [block] });
    }
  }
  return reads;
}

async function readPack(source: RangeSource, pack: PackName, blocks: readonly PlacedBlock[]): Promise<PlacedBytes[]> {
  for (const [cid, { codec }] of blocks) if (codec !== PLAIN) throw unknownCodec(cid, pack, codec);
  try {
    return await readTogether(source, pack, blocks);
  } catch (cause) {
    if (!hasCode(cause, "block_corrupt") || blocks.length === 1) throw cause;
  }
  // One by one: a bad sector, or an early end, costs only the blocks that lie there.
  const found: PlacedBytes[] = [];
  for (const block of blocks) found.push(...(await readTogether(source, pack, [block])));
  return found;
}

async function readTogether(
  source: RangeSource,
  pack: PackName,
  blocks: readonly PlacedBlock[],
): Promise<PlacedBytes[]> {
  const [first] = blocks;
  if (first === undefined) return [];
  const reads = planReads(blocks).map((read) => new ScatteredRead(read));
  try {
    await streamRanges(source, pack, reads, (range, at, part) => reads[range]?.take(at, part));
  } catch (cause) {
    throw namingBlock(cause, pack, first);
  }
  return reads.flatMap((read) => read.blocks(pack));
}

type PlacedBytes = readonly [Cid, Uint8Array];

/** One read of several blocks. Each block gets its own memory: a slice would keep the whole read while the block is cached. */
class ScatteredRead implements ByteRange {
  readonly offset: number;
  readonly length: number;
  /** By their offsets in the read. */
  readonly #blocks: readonly { readonly block: PlacedBlock; readonly at: number; readonly bytes: Uint8Array }[];
  #arrived = 0;

  constructor({ offset, length, blocks }: PlannedRead) {
    this.offset = offset;
    this.length = length;
    this.#blocks = blocks.map((block) => {
      const [, place] = block;
      const bytes = new Uint8Array(Buffer.allocUnsafeSlow(place.length).buffer);
      return { block, at: place.offset - offset, bytes };
    });
  }

  take(at: number, part: Uint8Array): void {
    this.#arrived = at + part.length;
    for (const { at: start, bytes } of this.#blocks) {
      if (start >= at + part.length) break;
      const from = Math.max(start, at);
      const to = Math.min(start + bytes.length, at + part.length);
      if (from < to) bytes.set(part.subarray(from - at, to - at), from - start);
    }
  }

  blocks(pack: PackName): PlacedBytes[] {
    const [first] = this.#blocks;
    if (this.#arrived !== this.length && first !== undefined) throw wrongLength(first.block, pack, this.#arrived, this);
    return this.#blocks.map(({ block: [cid], bytes }) => [cid, bytes] as const);
  }
}

/** A block's part of what was read, without copying. */
export function partOf(read: ByteRange, bytes: Uint8Array, { offset, length }: ByteRange): Uint8Array {
  return bytes.subarray(offset - read.offset, offset - read.offset + length);
}

function namingBlock(cause: unknown, pack: PackName, [cid, { offset }]: PlacedBlock): unknown {
  if (hasCode(cause, "object_not_found")) {
    return new SynclineError("block_not_found", `Block ${cid} should be at ${offset} of ${pack}, which is missing.`, {
      hint: "Run `syncline verify --repair` on the bucket.",
      cause,
    });
  }
  if (!hasCode(cause, "block_corrupt")) return cause;
  return new SynclineError("block_corrupt", `Cannot read block ${cid} at ${offset} of ${pack}: ${cause.message}`, {
    hint: "Run `syncline verify --repair` on the bucket.",
    cause,
  });
}

function wrongLength([cid]: PlacedBlock, pack: PackName, got: number, { offset, length }: ByteRange): SynclineError {
  const message = `Block ${cid}: requested ${length} bytes at ${offset} of ${pack}, got ${got}.`;
  return new SynclineError("block_corrupt", message, { hint: "Run `syncline verify --repair` on the bucket." });
}

function unknownCodec(cid: Cid, pack: PackName, codec: number): SynclineError {
  return new SynclineError("feature_unknown", `Block ${cid} in ${pack} is stored with the unknown codec ${codec}.`, {
    hint: "Upgrade syncline on this machine.",
  });
}
