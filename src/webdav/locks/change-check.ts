/**
 * Whether a share and its locks permit a change: the request must bring a token for the locks in the way (RFC 4918, section
 * 7.5).
 */
import type { FileName } from "../../base/ids.ts";
import { Refusal } from "../refusal.ts";
import type { Call } from "../call.ts";
import { locked, type Lock } from "./locks.ts";

/** A change of the resource itself: its bytes or properties. Throws a Refusal: 423, or 401 if the login was revoked meanwhile. */
export function checkResourceLocks(call: Call, path: readonly FileName[]): void {
  const denial = call.signedIn?.recheck();
  if (denial !== undefined) throw new Refusal(denial.status, denial.message, { headers: denial.headers ?? {} });
  checkLocks(call, call.locks.covering(path));
}

/** The resource appears or goes, with everything in it: its folder's members change. Throws a Refusal, 423. */
export function checkMemberLocks(call: Call, path: readonly FileName[], has: "own bytes" | "all in it"): void {
  checkResourceLocks(call, path);
  checkResourceLocks(call, path.slice(0, -1));
  if (has === "own bytes") return;
  const byRoot = new Map<string, Lock[]>();
  for (const lock of call.locks.below(path)) {
    const root = lock.path.join("/");
    byRoot.set(root, [...(byRoot.get(root) ?? []), lock]);
  }
  for (const locks of byRoot.values()) checkLocks(call, locks);
}

/** Whether the share may be changed at all. Throws a Refusal, 403. */
export function checkWritable({ isReadOnly }: Call): void {
  if (isReadOnly) throw new Refusal(403, "This share is read-only.");
}

/** There is only one exclusive lock; of shared ones, any token will do. */
function checkLocks(call: Call, locks: readonly Lock[]): void {
  if (locks.length > 0 && !locks.some((lock) => isHeld(call, lock))) throw locked("lock-token-submitted", locks);
}

/** Whether the request has the lock's token and comes from its creator: tokens are public (`lockdiscovery`). */
export function isHeld({ tokens, user }: Call, lock: Lock): boolean {
  return tokens.has(lock.token) && (lock.user === undefined || lock.user === user);
}
