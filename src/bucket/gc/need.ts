/**
 * Collects or thins automatically: checks whether another process has done so meanwhile, and whether it is worthwhile.
 */
import type { ObjectStore } from "../../objects/object-store.ts";
import type { Bucket } from "../bucket.ts";
import { PackDirectory } from "../packed/pack-directory.ts";
import { collect, type CollectOptions, type CollectReport } from "./collector.ts";
import { readCollectionBase } from "./collection-base.ts";
import { takeInventory } from "./inventory.ts";
import { thin, type ThinOptions, type ThinReport } from "./thin.ts";
import { SMALL_PACK_BYTES } from "./victims.ts";

/** Distinguishes states of a bucket between collections. */
export interface CollectionMark {
  /** Grows with each collection. In a folder: the manifest's; at a master: how many commits are no longer retained. */
  readonly gcEpoch: number;
  /** The newest root's. */
  readonly seq: number;
}

/** Of a folder's garbage, or only of history, where the storage collects its garbage itself. */
export type Collected = CollectReport | ThinReport;

export interface CollectionNews<Report extends Collected = Collected> {
  /** The bucket's state now. */
  readonly mark: CollectionMark;
  /** Absent when another process collected meanwhile, or there was no need. */
  readonly report?: Report;
}

/**
 * Collects, unless another process has collected since `known`. When nothing is known, collects if the bucket has at least
 * `many` small objects. Throws as `collect`, but another collector coming first is no error.
 */
export async function collectIfNeeded(
  options: CollectOptions,
  known: CollectionMark | undefined,
  many: number,
): Promise<CollectionNews<CollectReport>> {
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

/**
 * Thins a bucket whose storage collects itself, unless another process has thinned since `known`. When nothing is known,
 * thins if at least `many` commits go. Leaves a history that would not get shorter: thinning adds a commit. Throws as `thin`.
 */
export async function thinIfNeeded(
  options: Omit<ThinOptions, "dryRun">,
  known: CollectionMark | undefined,
  many: number,
): Promise<CollectionNews<ThinReport>> {
  const look = () => thin({ ...options, dryRun: true });
  const before = await look();
  const mark = thinnedMark(before);
  const goes = before.commits.before - before.commits.after;
  const isNeeded = known === undefined ? goes >= many : known.gcEpoch === mark.gcEpoch && goes > 1;
  if (!isNeeded) return { mark };
  const report = await thin({ ...options, dryRun: false });
  return { mark: thinnedMark(await look()), report };
}

function thinnedMark({ seq, commits }: ThinReport): CollectionMark {
  return { gcEpoch: seq - commits.before, seq };
}

async function markOf(bucket: Bucket, store: ObjectStore): Promise<CollectionMark> {
  const { commit, object } = await readCollectionBase(bucket, new PackDirectory(store));
  return { gcEpoch: object.manifest.gcEpoch, seq: commit.body.seq };
}

async function smallObjects(store: ObjectStore): Promise<number> {
  const { packs } = await takeInventory(store);
  return [...packs.values()].filter(({ size }) => size < SMALL_PACK_BYTES).length;
}
