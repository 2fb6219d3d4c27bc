/** What keeps an agent from publishing, as it tells it. */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";

/** Codes of a bucket that cannot be reached, or not with what this agent may do. */
export const UNREACHABLE: ReadonlySet<string> = new Set([
  "arbiter_unreachable",
  "bad_token",
  "bucket_locked",
  "key_locked",
  "no_grant",
  "no_such_bucket",
  "store_unreachable",
  "time_out",
  "wallet_not_allowed",
]);

/** The root that was found does not follow ours. */
export function rolledBack(ours: Cid, found: Cid): SynclineError {
  return new SynclineError(
    "root_rolled_back",
    `The bucket's root ${found} does not descend from ${ours}, which was seen before.`,
    {
      hint: "An old copy of the bucket was put back. Nothing is published over it and nothing of yours is lost: put the newer root back, or unmount and mount again at a new place.",
    },
  );
}
