/** A bucket ready to use: its storage behind verification, retries and, when asked for, a cache on disk. */
import type { Cid } from "../base/ids.ts";
import { describeError } from "../base/log.ts";
import type { Ports } from "../base/ports.ts";
import type { Block, BlockReader } from "../blocks/block-store.ts";
import { CachedReader } from "../blocks/cached-reader.ts";
import { systemDisk } from "../objects/disk.ts";
import { readBoot } from "../objects/process-identity.ts";
import { DiskBlockCache } from "../blocks/disk-block-cache.ts";
import { PinnedBlocks, PinnedCache } from "../blocks/pinned-blocks.ts";
import { RetryReader } from "../blocks/retry-reader.ts";
import { VerifiedReader } from "../blocks/verified-reader.ts";
import { Bucket } from "../bucket/bucket.ts";
import { cachingRemote } from "../bucket/caching-remote.ts";
import { parseAddress } from "../bucket/address.ts";
import { openRemote, type RemoteOptions } from "../bucket/open-remote.ts";
import type { BucketRemote } from "../bucket/remote.ts";
import type { RootWitness } from "../bucket/root-witness.ts";
import { codecOf } from "../format/blocks/cid.ts";
import type { PinsOptions } from "./pins/pins.ts";

export interface CacheOptions {
  readonly dir: string;
  readonly bytes: number;
  /** As DiskBlockCacheOptions.taken. */
  readonly taken?: () => number;
  /** The folder of pinned blocks; absent: nothing can be pinned. */
  readonly pinnedDir?: string;
  /** The folder of InUseBlocks. Absent: none are kept. */
  readonly inUseDir?: string;
  /**
   * For a folder on this machine that has all files as they are: returns those of these blocks that its files now contain.
   * The cache then skips contents, except chunks of large files, so that a download interrupted by a crash can resume.
   */
  readonly inFolder?: (cids: readonly Cid[]) => Promise<ReadonlyMap<Cid, Uint8Array>>;
}

export interface OpenBucketOptions extends Ports, Pick<RemoteOptions, "access" | "writer" | "onStaleRoot" | "onDoubt"> {
  readonly address: string;
  readonly cache?: CacheOptions | undefined;
  /** How long a read waits for an unreachable bucket. */
  readonly patienceMs?: number | undefined;
  /** A copy of the genesis that was read earlier, in case the bucket is out of reach. */
  readonly genesis?: Uint8Array | undefined;
  /** What was seen at the address before. Undefined only for callers that read no roots. */
  readonly witness: RootWitness | undefined;
}

export interface OpenedBucket extends AsyncDisposable {
  readonly bucket: Bucket;
  readonly remote: BucketRemote;
  readonly blocks: BlockReader;
  readonly cache: DiskBlockCache | undefined;
  /** The blocks among `cids` that are on this machine. */
  held(cids: readonly Cid[]): Promise<ReadonlyMap<Cid, Uint8Array>>;
  /** What pins need; `blocks` does not write to the cache. */
  readonly pinning: Pick<PinsOptions, "pinned" | "cache" | "blocks" | "boot"> | undefined;
  /** Where InUseBlocks keeps them. */
  readonly inUse: PinnedBlocks | undefined;
}

/**
 * Opens the bucket and checks its genesis. Throws as `openRemote` and `Bucket.open`, and `foreign_bucket` if another bucket
 * was seen before.
 */
export async function openBucket(options: OpenBucketOptions): Promise<OpenedBucket> {
  const { address, clock, random, log, patienceMs, access, onStaleRoot, onDoubt } = options;
  const { pinnedGenesis, isRemote } = parseAddress(address);
  const inFolder = options.cache?.inFolder;
  const none = (error: unknown) => {
    log.warn(`Cannot search the folder: ${describeError(error)}`);
    return new Map<Cid, Uint8Array>();
  };
  const local = {
    async held(cids: readonly Cid[]) {
      const found = (await looked?.held(cids)) ?? new Map<Cid, Uint8Array>();
      const others = cids.filter((cid) => !found.has(cid));
      return others.length === 0 || inFolder === undefined
        ? found
        : new Map([...found, ...(await inFolder(others).catch(none))]);
    },
  };
  const opened = await openRemote(address, {
    clock,
    random,
    writer: options.writer,
    access,
    local,
    onStaleRoot,
    onDoubt,
  });
  const verified = new RetryReader(new VerifiedReader(opened.blocks), {
    clock,
    random,
    patienceMs: patienceMs ?? (isRemote ? access?.patience?.ms : undefined),
    forget: () => opened.forgetPlacement?.(),
    doubt: (cids) => opened.doubt?.(cids),
  });
  const cache = options.cache === undefined ? undefined : new DiskBlockCache({ ...options.cache, log, clock });
  const { pinnedDir, inUseDir } = options.cache ?? {};
  const pinned = pinnedDir === undefined ? undefined : new PinnedBlocks(pinnedDir, log);
  const inUse = inUseDir === undefined ? undefined : new PinnedBlocks(inUseDir, log);
  const outside = [pinned, inUse].filter((blocks) => blocks !== undefined);
  const looked = cache === undefined || outside.length === 0 ? cache : new PinnedCache(cache, outside);
  const blocks = looked === undefined ? verified : new CachedReader(looked, verified, inFolder && isNodeOrPiece);
  const pinning =
    looked === undefined || pinned === undefined || cache === undefined
      ? undefined
      : { pinned, cache, blocks: new CachedReader(looked, verified, () => false), boot: () => readBoot(systemDisk) };
  const { genesis } = options;
  const kept = genesis === undefined ? opened : withKnownGenesis(opened, genesis);
  const remote = cache === undefined ? kept : cachingRemote(kept, cache, { content: inFolder === undefined });
  const dispose = async () => {
    await cache?.close();
    await opened[Symbol.asyncDispose]();
  };
  try {
    const bucket = await Bucket.open(remote, { blocks, pinnedGenesis, witness: options.witness });
    // A stored genesis does not prove which bucket is at the address.
    const isKept = genesis !== undefined && Buffer.compare(genesis, bucket.genesis.bytes) === 0;
    if (!isKept) options.witness?.requireGenesis(remote.address, bucket.genesis.cid);
    const held = (cids: readonly Cid[]) => local.held(cids);
    return { bucket, remote, blocks, cache, held, pinning, inUse, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Shorter files are one block each. */
const PIECE_BYTES = 16 * 1024;

function isNodeOrPiece({ cid, bytes }: Block): boolean {
  return codecOf(cid) !== "raw" || bytes.length >= PIECE_BYTES;
}

/** Answers the genesis from memory: it never changes. If what was kept is damaged, the bucket is asked. */
export function withKnownGenesis(remote: BucketRemote, genesis: Uint8Array): BucketRemote {
  return {
    address: remote.address,
    blocks: remote.blocks,
    readGenesis: async () => genesis,
    linkedGenesis: async () => (await remote.linkedGenesis?.()) ?? remote.readGenesis(),
    create: (block, first) => remote.create(block, first),
    readRoot: () => remote.readRoot(),
    lostRoot: async () => remote.lostRoot?.(),
    beginUpload: () => remote.beginUpload(),
    requests: () => remote.requests?.(),
    masters: () => remote.masters?.(),
    quota: async () => remote.quota?.(),
    takeTurn: () => remote.takeTurn?.(),
    forgetPlacement: () => remote.forgetPlacement?.(),
    doubt: async (cids) => remote.doubt?.(cids),
    doubtPack: (pack) => remote.doubtPack?.(pack),
    ...(remote.holdBases && { holdBases: (bases) => remote.holdBases?.(bases) ?? Promise.resolve() }),
    watch: (changed) => remote.watch(changed),
    [Symbol.asyncDispose]: () => remote[Symbol.asyncDispose](),
  };
}
