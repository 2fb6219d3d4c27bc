/**
 * Resets a synced folder whose bucket was set back, if a person accepted that: it starts as one that was never synced.
 * Folder and bucket are then united, so that nothing in either is lost.
 */
import type { Bucket } from "../bucket/bucket.ts";
import type { Log } from "../base/log.ts";
import { descends } from "../bucket/history.ts";
import type { SyncDatabase } from "./known/database.ts";
import { PARKED_ID } from "./disk/paths.ts";

/** Whether the folder was reset. It is not while files are parked: the problem is then reported. */
export async function resetFolder(db: SyncDatabase, bucket: Bucket, log: Log): Promise<boolean> {
  const base = db.base();
  if (base === undefined) return false;
  const { commit } = await bucket.head();
  if ((await descends(bucket, commit, { cid: base.commit, seq: base.seq })) !== "no") return false;
  if (db.children(PARKED_ID).length > 0) return false;
  await db.transaction(() => db.forget());
  log.warn("The bucket's older state was accepted and will be merged with the folder.");
  return true;
}
