/**
 * A synced folder whose bucket was set back, which a person accepted: it begins anew, as one that was never synced. Folder and bucket are
 * united then, so that nothing goes that either of them has.
 */
import type { Bucket } from "../bucket/bucket.ts";
import type { Log } from "../base/log.ts";
import { descends } from "../bucket/history.ts";
import type { SyncDatabase } from "./known/database.ts";
import { PARKED_ID } from "./disk/paths.ts";

/** Whether it begins anew. It does not where files wait for their places: what is wrong is reported then. */
export async function startFolderOver(db: SyncDatabase, bucket: Bucket, log: Log): Promise<boolean> {
  const base = db.base();
  if (base === undefined) return false;
  const { commit } = await bucket.head();
  if ((await descends(bucket, commit, { cid: base.commit, seq: base.seq })) !== "no") return false;
  if (db.children(PARKED_ID).length > 0) return false;
  await db.transaction(() => db.forget());
  log.warn("The older state of the bucket was accepted: it is united with the folder.");
  return true;
}
