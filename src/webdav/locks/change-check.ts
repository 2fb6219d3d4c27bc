/** Whether a share and its locks permit a change: of locks that are in the way, the request must have brought a token (RFC 4918, section 7.5). */
import type { FileName } from "../../base/ids.ts";
import { Refusal } from "../refusal.ts";
import type { Call } from "../call.ts";
import { locked, type Lock } from "./locks.ts";

/** A change of the resource itself: its bytes or properties. Throws a Refusal, 423. */
export function checkResourceLocks(call: Call, path: readonly FileName[]): void {
  checkLocks(call, call.locks.covering(path));
}

/** It appears, or goes: then what is in it goes as well, and its folder has another member. Throws a Refusal, 423. */
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

/** Of an exclusive lock there is one; of shared ones any will do. */
function checkLocks(call: Call, locks: readonly Lock[]): void {
  if (locks.length > 0 && !locks.some((lock) => isHeld(call, lock))) throw locked("lock-token-submitted", locks);
}

/** Whether the request has its token, and comes from who made it: tokens are told to everybody (`lockdiscovery`). */
export function isHeld({ tokens, user }: Call, lock: Lock): boolean {
  return tokens.has(lock.token) && (lock.user === undefined || lock.user === user);
}
