/**
 * Keeps a local copy of uploaded blocks, so that what this machine wrote is readable while the bucket is unreachable, and
 * can repair the bucket. Best effort, as every cache.
 */
import type { Block } from "../blocks/block-store.ts";
import type { BlockCache } from "../blocks/cached-reader.ts";
import type { BucketRemote, Upload, UploadSession } from "./remote.ts";

type Kept = Pick<BlockCache, "keep" | "keepInTurn">;

export interface KeptUploads {
  /** Whether to keep files' contents as they are sent, or only the blocks that come with a commit. */
  readonly content: boolean;
}

/** `inner`, with uploads also going to `cache`. Reads are unchanged: CachedReader handles those. */
export function cachingRemote(inner: BucketRemote, cache: Kept, kept: KeptUploads = { content: true }): BucketRemote {
  return {
    address: inner.address,
    blocks: inner.blocks,
    readGenesis: () => inner.readGenesis(),
    linkedGenesis: async () => inner.linkedGenesis?.(),
    create: (genesis, first) => inner.create(genesis, first),
    readRoot: () => inner.readRoot(),
    lostRoot: async () => inner.lostRoot?.(),
    beginUpload: () => cachingSession(inner.beginUpload(), cache, kept),
    requests: () => inner.requests?.(),
    masters: () => inner.masters?.(),
    quota: async () => inner.quota?.(),
    takeTurn: () => inner.takeTurn?.(),
    forgetPlacement: () => inner.forgetPlacement?.(),
    doubt: async (cids) => inner.doubt?.(cids),
    doubtPack: (pack) => inner.doubtPack?.(pack),
    ...(inner.holdBases && { holdBases: (bases) => inner.holdBases?.(bases) ?? Promise.resolve() }),
    watch: (changed) => inner.watch(changed),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}

function cachingSession(inner: UploadSession, cache: Kept, { content }: KeptUploads): UploadSession {
  return {
    blocks: inner.blocks,
    putContent(block) {
      if (!content) return inner.putContent(block);
      // A large file is kept whole, since its writer often reads it next. Keeping waits for the disk.
      const { cid, bytes } = block;
      const kept = cache.keepInTurn === undefined ? cache.keep([block]) : cache.keepInTurn([block]);
      const put = inner.putContent({ cid, bytes });
      return kept instanceof Promise ? both(put, kept) : put;
    },
    prepare: (expected, { commit, blocks }) =>
      inner.prepare(expected, { commit, blocks: keeping(commit, blocks, cache) }),
    ...(inner.suspend && { suspend: () => inner.suspend?.() ?? Promise.resolve() }),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}

async function both(...works: readonly Promise<void>[]): Promise<void> {
  await Promise.all(works);
}

/** The blocks, keeping them and `commit`. */
async function* keeping(commit: Block, blocks: Upload["blocks"], cache: Kept): AsyncGenerator<Block> {
  let batch = [commit];
  for await (const block of blocks) {
    batch.push(block);
    if (batch.length === BATCH_BLOCKS) {
      cache.keep(batch);
      batch = [];
    }
    yield block;
  }
  cache.keep(batch);
}

/** The cache writes a batch at once. */
const BATCH_BLOCKS = 64;
