/**
 * The ignore rules of the bucket, for a folder that has not received them yet. Without them, its first pass would publish
 * what they exclude.
 */
import { ROOT_ID } from "../../base/ids.ts";
import { PUBLISH_CHUNK_CACHE_BYTES } from "../../base/limits.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import { ChunkCache } from "../../content/chunk-cache.ts";
import { readContent } from "../../content/read.ts";
import { lookup } from "../../fstree/fs-reader.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { IGNORE_FILE } from "../disk/paths.ts";
import type { SyncDatabase } from "../known/database.ts";
import { MAX_RULES_LENGTH, requireFile } from "./ignore-rules.ts";

/**
 * The text of a root's rules; "" if it has none, or the folder has had them. Throws as reading the bucket does: nothing is
 * synced while the rules are unknown.
 */
export async function rulesInBucket(
  { db, bucket }: { readonly db: SyncDatabase; readonly bucket: Pick<Bucket, "blocks"> },
  nodes: NodeStore,
  { body }: VerifiedCommit,
): Promise<string> {
  const place = { parent: ROOT_ID, name: IGNORE_FILE };
  // If the folder has lost them, somebody removed them.
  if (db.at(place) !== undefined) return "";
  const { record } = (await lookup(nodes, body.tree, place)) ?? {};
  if (record === undefined) return "";
  requireFile(record.type, "bucket");
  const source = new ChunkCache(bucket.blocks, { capacityBytes: PUBLISH_CHUNK_CACHE_BYTES });
  // One byte more than is accepted shows that it is too long.
  const bytes = await readContent(source, record.content, record.size, 0, Math.min(record.size, MAX_RULES_LENGTH + 1));
  return Buffer.from(bytes).toString("utf8");
}
