/** Tells a bucket that has lost its root from a place where none was made, or where making one was interrupted. */
import { hasCode, isDamage, SynclineError } from "../../base/errors.ts";
import type { PackName } from "../../base/ids.ts";
import { COMMIT_TAIL_BYTES } from "../../base/limits.ts";
import {
  COMMIT_FOLDER,
  GENESIS_OBJECT,
  isRunName,
  PACK_FOLDER,
  packReference,
  parsePackName,
  RUN_FOLDER,
} from "../../format/blocks/object-name.ts";
import { decodeCommit } from "../../format/commits/commit.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { readFooter } from "../../packs/pack-footer.ts";

/** Each interrupted creation leaves one commit object. */
const MOST_BEGUN = 16;
/** Names listed in each folder: it may hold others than ours. */
const MOST_LISTED = 1_000;

/**
 * Whether a store without a root holds more than interrupted creations leave: first commits, and a genesis that `isOwn`
 * accepts. What cannot be read counts as part of a bucket. Throws as the store does.
 */
export async function holdsBucket(
  store: ObjectStore,
  isOwn: (genesis: Uint8Array) => boolean = () => false,
): Promise<boolean> {
  const genesis = await store.get(GENESIS_OBJECT);
  if (genesis !== undefined && !isOwn(genesis.bytes)) return true;
  const isPack = (name: string) => parsePackName(name) !== undefined;
  const [packs, runs, commits] = await Promise.all([
    namesIn(store, PACK_FOLDER, isPack, 1),
    namesIn(store, RUN_FOLDER, isRunName, 1),
    namesIn(store, COMMIT_FOLDER, isPack, MOST_BEGUN + 1),
  ]);
  if (packs.length > 0 || runs.length > 0 || commits.length > MOST_BEGUN) return true;
  for (const name of commits) if (!(await isFirstCommit(store, name as PackName))) return true;
  return false;
}

export function lostRoot(address: string): SynclineError {
  return new SynclineError("arbiter_unreachable", `The bucket at ${address} has lost its root.`, {
    hint: "Run `syncline verify --repair` on the bucket, which looks for its newest commit.",
  });
}

/** Nothing may be created here. */
export function occupied(address: string): SynclineError {
  return new SynclineError("bucket_exists", `${address} holds a bucket that has lost its root.`, {
    hint: "Run `syncline verify --repair` on it, or choose another address. To give it up, delete its objects first.",
  });
}

/** Up to `most` names that are ours. */
async function namesIn(
  store: ObjectStore,
  folder: string,
  isOurs: (name: string) => boolean,
  most: number,
): Promise<string[]> {
  const found: string[] = [];
  let listed = 0;
  for await (const { name } of store.list(folder)) {
    if (isOurs(name)) found.push(name);
    if (found.length === most || ++listed === MOST_LISTED) break;
  }
  return found;
}

/** Whether a commit object holds the first commit of a bucket, in which there are no files yet. */
async function isFirstCommit(store: ObjectStore, name: PackName): Promise<boolean> {
  try {
    const { footer } = await readFooter((length) => store.getTail(name, length), COMMIT_TAIL_BYTES);
    const row = footer.find(packReference(name).subarray(1));
    if (row === undefined) return false;
    const [bytes = new Uint8Array()] = await store.getRanges(name, [row]);
    return decodeCommit(bytes).body.parent === undefined;
  } catch (error) {
    if (isDamage(error) || hasCode(error, "feature_unknown")) return false;
    throw error;
  }
}
