/**
 * Reads an owner's blocks at their places: neighbors together, each verified by its hash. A mismatch is looked up in the
 * pack's footer, since the index may be wrong; if that does not help, the block is damaged.
 */
import { groupBy } from "../../base/collections.ts";
import { mapConcurrent } from "../../base/concurrency.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { ANSWER_BATCH_BYTES, PACK_READS, READ_GAP_BYTES } from "../limits.ts";
import { isIntact } from "../../blocks/verified-reader.ts";
import { partOf, type PlannedRead, planReads } from "../../packs/ranged-reads.ts";
import { digestOf } from "../../format/blocks/cid.ts";
import type { Place } from "./block-index.ts";
import type { Room } from "./owner-blocks.ts";
import type { PackHandles } from "./pack-handles.ts";
import { footerOf } from "./pack-disk.ts";

export interface BlockReaderOptions {
  readonly handles: PackHandles;
  readonly folder: string;
  /** Called for each block whose bytes are wrong. */
  readonly onDamage: (cid: Cid, place: Place) => void;
}

/** The blocks at these places. Throws `block_corrupt` for those that cannot be read intact, and the system's errors. */
export async function readBlocks(
  options: BlockReaderOptions,
  places: ReadonlyMap<Cid, Place>,
  room?: Room,
): Promise<Map<Cid, Uint8Array>> {
  const reads = [...groupBy(places, ([, { pack }]) => pack)].flatMap(([pack, blocks]) =>
    planReads(blocks, { gap: READ_GAP_BYTES, most: ANSWER_BATCH_BYTES }).map((read) => ({ pack, read })),
  );
  const found = new Map<Cid, Uint8Array>();
  await mapConcurrent(reads, PACK_READS, async ({ pack, read }) => readRun(options, pack, read, found, room));
  return found;
}

async function readRun(
  options: BlockReaderOptions,
  pack: string,
  read: PlannedRead<Place>,
  found: Map<Cid, Uint8Array>,
  room: Room | undefined,
): Promise<void> {
  const { handles, folder } = options;
  const memory = room?.(read.length);
  const bytes = await handles.use(folder, pack, (file) => file.read(read.offset, read.length, memory));
  for (const [cid, place] of read.blocks) {
    const part = bytes && partOf(read, bytes, place);
    if (part === undefined || !isIntact(cid, part)) found.set(cid, await readAgain(options, cid, place));
    // Copied if several were read together: a slice would keep all of them in memory.
    else found.set(cid, memory !== undefined || read.blocks.length === 1 ? part : new Uint8Array(part));
  }
}

/** Retries at the place that the pack's footer gives. */
async function readAgain(
  { handles, folder, onDamage }: BlockReaderOptions,
  cid: Cid,
  place: Place,
): Promise<Uint8Array> {
  const bytes = await handles.use(folder, place.pack, async (file) => {
    const footer = await footerOf(file).catch(() => undefined);
    const { offset, length } = footer?.find(digestOf(cid)) ?? place;
    return file.read(offset, length);
  });
  if (bytes !== undefined && isIntact(cid, bytes)) return bytes;
  onDamage(cid, place);
  const where = bytes === undefined ? `its pack ${place.pack} is missing` : `at ${place.offset} of pack ${place.pack}`;
  throw new SynclineError("block_corrupt", `Block ${cid} is damaged in the master's store: ${where}.`, {
    hint: "Upload it again to heal it. `syncline verify --data DIR` on the master's machine finds all damage.",
  });
}
