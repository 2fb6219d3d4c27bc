/** Opens a bucket for a command that reads one of its trees: the current one, or an old one (`--at`). */
import type { Cid } from "../../base/ids.ts";
import { timeText } from "../../base/clock.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import { PUBLISH_CHUNK_CACHE_BYTES, PUBLISH_NODE_CACHE_BYTES } from "../../base/limits.ts";
import { silentLog } from "../../base/log.ts";
import { openBucket, type OpenedBucket } from "../../agent/open-bucket.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import { resolvePath, type TreeObject } from "../../fstree/fs-reader.ts";
import { findCommit } from "../../bucket/find-commit.ts";
import { ChunkCache } from "../../content/chunk-cache.ts";
import { streamContent } from "../../content/read.ts";
import { linkedValues, targetOf } from "../../format/blocks/linked-value.ts";
import type { FileRecord } from "../../format/files/record.ts";
import { NodeStore } from "../../tree/node-store.ts";
import type { BucketPath } from "./bucket-path.ts";
import type { Call } from "../command.ts";
import { readingAccess, witnessOf, type BucketOption } from "../master-access.ts";
import { printPath } from "../terminal/text.ts";

/** How far contents that are copied out are read ahead, for all files together. */
export const COPY_AHEAD_BYTES = 12 * 1024 * 1024;

export interface BucketReader extends AsyncDisposable {
  readonly bucket: Bucket;
  readonly commit: VerifiedCommit;
  readonly tree: Cid;
  readonly nodes: NodeStore;
  readonly content: ChunkCache;
  /** No master could tell the newest root: this is the last one known. */
  readonly isStale: boolean;
}

/** Opens the bucket read-only, and checks it against what this machine saw before. Throws as `openBucket`. */
export function openToRead(call: Call<BucketOption>, address: string, onStaleRoot?: () => void): Promise<OpenedBucket> {
  const { clock, random } = call.runtime;
  const witness = witnessOf(call, address);
  return openBucket({ address, access: readingAccess(call), witness, clock, random, log: silentLog, onStaleRoot });
}

/** `capacityBytes` and `isOwner`: as ChunkCache. Throws `no_such_bucket`, `no_such_root`, and as `openBucket`. */
export async function openReader(
  call: Call<BucketOption>,
  address: string,
  at: string | undefined,
  { stale = false, capacityBytes = PUBLISH_CHUNK_CACHE_BYTES, isOwner = false } = {},
): Promise<BucketReader> {
  const { clock } = call.runtime;
  let isStale = false;
  // Someone who accepts what is there means what is there now.
  const mayBeStale = stale && call.options.accept !== true;
  const opened = await openToRead(call, address, mayBeStale ? () => (isStale = true) : undefined);
  try {
    const { bucket, blocks } = opened;
    const newest = await newestCommit(call, address, bucket, () => isStale);
    if (isStale) {
      const { timeNs } = newest.body;
      call.output.notice(`No master can reach the roots: this is the last state they know, of ${timeText(timeNs)}.`);
    }
    const commit = at === undefined ? newest : await findCommit(bucket, newest, at, clock);
    return {
      isStale,
      bucket,
      commit,
      tree: commit.body.tree,
      nodes: new NodeStore(blocks, { capacityBytes: PUBLISH_NODE_CACHE_BYTES }),
      content: new ChunkCache(blocks, { capacityBytes, isOwner }),
      [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
    };
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

/** While roots are stale, the root that this machine has seen may be the newer one. */
async function newestCommit(
  call: Call<BucketOption>,
  address: string,
  bucket: Bucket,
  isStale: () => boolean,
): Promise<VerifiedCommit> {
  try {
    return (await bucket.head()).commit;
  } catch (error) {
    const known = witnessOf(call, address).known();
    if (!isStale() || !hasCode(error, "root_rolled_back") || known === undefined) throw error;
    return bucket.commit(known.root);
  }
}

/** The object at a path. Throws `no_such_path`. */
export async function findObject({ nodes, tree }: BucketReader, { address, names }: BucketPath): Promise<TreeObject> {
  const object = await resolvePath(nodes, tree, names);
  if (object !== undefined) return object;
  throw new SynclineError("no_such_path", `There is no ${printPath(names)} in ${address}.`, {
    hint: "`syncline ls` shows what exists; --at shows older states.",
  });
}

/** A file's bytes, piece by piece. Throws `is_a_directory`, `not_supported` for other non-files, and as reading does. */
export async function* fileBytes(
  { content }: BucketReader,
  { record }: TreeObject,
  { address, names }: BucketPath,
): AsyncGenerator<Uint8Array> {
  const path = printPath(names) || address;
  if (record.type === "directory") {
    throw new SynclineError("is_a_directory", `${path} is a directory.`, {
      hint: "Name a file in it, or copy the whole directory: syncline get -r.",
    });
  }
  if (record.type !== "file") {
    throw new SynclineError("not_supported", `${path} is a ${record.type} and has no bytes to print.`, {
      hint: "`syncline ls` shows where a symlink points.",
    });
  }
  yield* streamContent(content, record.content, record.size);
}

export async function readTarget({ bucket }: BucketReader, record: FileRecord): Promise<string> {
  const blocks = await bucket.blocks.getMany(linkedValues(record));
  return targetOf(record, (cid) => blocks.get(cid) ?? new Uint8Array());
}
