/** Opens a bucket for a command that reads one of its trees: the current one, or an old one (`--at`). */
import type { Cid } from "../../base/ids.ts";
import { SynclineError } from "../../base/errors.ts";
import { PUBLISH_CHUNK_CACHE_BYTES, PUBLISH_NODE_CACHE_BYTES } from "../../base/limits.ts";
import { silentLog } from "../../base/log.ts";
import { openBucket, type OpenedBucket } from "../../agent/open-bucket.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import { resolvePath } from "../../fstree/fs-reader.ts";
import type { TreeObject } from "../../fstree/fs-reader.ts";
import { findCommit } from "../../bucket/history.ts";
import { ChunkCache } from "../../content/chunk-cache.ts";
import { streamContent } from "../../content/read.ts";
import { linkedValues, targetOf } from "../../format/blocks/linked-value.ts";
import type { FileRecord } from "../../format/files/record.ts";
import { NodeStore } from "../../tree/node-store.ts";
import type { BucketPath } from "./bucket-path.ts";
import type { Call } from "../command.ts";
import { readingAccess, witnessOf, type BucketOption } from "../master-access.ts";
import { printPath } from "../terminal/text.ts";

export interface BucketReader extends AsyncDisposable {
  readonly bucket: Bucket;
  readonly commit: VerifiedCommit;
  readonly tree: Cid;
  readonly nodes: NodeStore;
  readonly content: ChunkCache;
}

/** Opens the bucket read-only, and checks it against what this machine saw before. Throws as `openBucket`. */
export function openToRead(call: Call<BucketOption>, address: string): Promise<OpenedBucket> {
  const { clock, random } = call.runtime;
  const witness = witnessOf(call, address);
  return openBucket({ address, access: readingAccess(call), witness, clock, random, log: silentLog });
}

/** Throws `no_such_bucket`, `no_such_root`, and as `openBucket`. */
export async function openReader(
  call: Call<BucketOption>,
  address: string,
  at: string | undefined,
): Promise<BucketReader> {
  const { clock } = call.runtime;
  const opened = await openToRead(call, address);
  try {
    const { bucket, blocks } = opened;
    const current = await bucket.head();
    const commit = at === undefined ? current.commit : await findCommit(bucket, current.commit, at, clock);
    return {
      bucket,
      commit,
      tree: commit.body.tree,
      nodes: new NodeStore(blocks, { capacityBytes: PUBLISH_NODE_CACHE_BYTES }),
      content: new ChunkCache(blocks, { capacityBytes: PUBLISH_CHUNK_CACHE_BYTES }),
      [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
    };
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
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

/** A symlink's target as a byte string. */
export async function readTarget({ bucket }: BucketReader, record: FileRecord): Promise<string> {
  const blocks = await bucket.blocks.getMany(linkedValues(record));
  return targetOf(record, (cid) => blocks.get(cid) ?? new Uint8Array());
}
