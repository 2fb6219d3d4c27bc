/** Collects automatically: checks whether another process has collected meanwhile, and whether collecting is worthwhile. */
import type { ObjectStore } from "../../objects/object-store.ts";
import type { Bucket } from "../bucket.ts";
import { PackDirectory } from "../packed/pack-directory.ts";
import { collect, type CollectOptions, type CollectReport } from "./collector.ts";
import { readCollectionBase } from "./collection-base.ts";
import { takeInventory } from "./inventory.ts";
import { SMALL_PACK_BYTES } from "./victims.ts";

/** Distinguishes states of a bucket between collections. */
export interface CollectionMark {
  readonly gcEpoch: number;
  /** The newest root's. */
  readonly seq: number;
}

export interface CollectionNews {
  /** The bucket's state now. */
  readonly mark: CollectionMark;
  /** Absent when another process collected meanwhile, or there was no need. */
  readonly report?: CollectReport;
}

/**
 * Collects, unless another process has collected since `known`. When nothing is known, collects if the bucket has at least
 * `many` small objects. Throws as `collect`, but another collector coming first is no error.
 */
export async function collectIfNeeded(
  options: CollectOptions,
  known: CollectionMark | undefined,
  many: number,
): Promise<CollectionNews> {
  const { bucket, store } = options;
  const before = await markOf(bucket, store);
  const isNeeded = known === undefined ? (await smallObjects(store)) >= many : known.gcEpoch === before.gcEpoch;
  if (!isNeeded) return { mark: before };
  try {
    const report = await collect(options);
    return { mark: await markOf(bucket, store), report };
  } catch (error) {
    const mark = await markOf(bucket, store);
    if (mark.gcEpoch === before.gcEpoch) throw error;
    return { mark };
  }
}

async function markOf(bucket: Bucket, store: ObjectStore): Promise<CollectionMark> {
  const { commit, object } = await readCollectionBase(bucket, new PackDirectory(store));
  return { gcEpoch: object.manifest.gcEpoch, seq: commit.body.seq };
}

async function smallObjects(store: ObjectStore): Promise<number> {
  const { packs } = await takeInventory(store);
  return [...packs.values()].filter(({ size }) => size < SMALL_PACK_BYTES).length;
}
