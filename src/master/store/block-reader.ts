/**
 * Reads an owner's blocks at their places: neighbors together, each verified by its hash. A mismatch is looked up in the
 * pack's footer, since the index may be wrong; if that does not help, the block is damaged. Where the disk cannot read
 * neighbors, each is read by itself, so that only the blocks on bad sectors are damaged.
 */
import { unless } from "../../base/unless.ts";
import { groupBy } from "../../base/collections.ts";
import { mapConcurrent } from "../../base/concurrency.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { ANSWER_BATCH_BYTES, PACK_READS, READ_GAP_BYTES } from "../limits.ts";
import { isUnreadableSector } from "../../base/system-errors.ts";
import { isIntact } from "../../blocks/verified-reader.ts";
import { partOf, type PlannedRead, planReads } from "../../packs/ranged-reads.ts";
import { digestOf } from "../../format/blocks/cid.ts";
import type { PackPlacement } from "./block-index.ts";
import type { Room } from "./owner-blocks.ts";
import type { PackHandles } from "./pack-handles.ts";
import { footerOf, type PackFile } from "./pack-disk.ts";

export interface BlockReaderOptions {
  readonly handles: PackHandles;
  readonly folder: string;
  /** Called for each block whose bytes are wrong or cannot be read. */
  readonly onDamage: (cid: Cid, place: PackPlacement) => void;
}

/** The blocks at these places. Throws `block_corrupt` for those that cannot be read intact, and the system's errors. */
export async function readBlocks(
  options: BlockReaderOptions,
  places: ReadonlyMap<Cid, PackPlacement>,
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
  read: PlannedRead<PackPlacement>,
  found: Map<Cid, Uint8Array>,
  room: Room | undefined,
): Promise<void> {
  const { handles, folder } = options;
  const memory = room?.(read.length);
  const bytes = await handles.use(folder, pack, (file) =>
    unless(isUnreadableSector, () => file.read(read.offset, read.length, memory)),
  );
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
  place: PackPlacement,
): Promise<Uint8Array> {
  const read = await handles.use(folder, place.pack, (file) => readByFooter(file, cid, place));
  if (read?.bytes !== undefined && isIntact(cid, read.bytes)) return read.bytes;
  onDamage(cid, place);
  const where = read === undefined ? `its pack ${place.pack} is missing` : `at ${place.offset} of pack ${place.pack}`;
  throw new SynclineError("block_corrupt", `Block ${cid} is damaged in the master's store: ${where}.`, {
    hint: "Upload it again to heal it. `syncline verify --data DIR` on the master's machine finds all damage.",
  });
}

/** Throws the disk's error if neither the block nor the footer can be read: then the disk is away, and no block damaged. */
async function readByFooter(
  file: PackFile,
  cid: Cid,
  place: PackPlacement,
): Promise<{ bytes: Uint8Array | undefined }> {
  let isAway = false;
  const footer = await footerOf(file).catch((error: unknown) => {
    isAway = isUnreadableSector(error);
    return undefined;
  });
  const { offset, length } = footer?.find(digestOf(cid)) ?? place;
  const read = () => file.read(offset, length);
  return { bytes: isAway ? await read() : await unless(isUnreadableSector, read) };
}
