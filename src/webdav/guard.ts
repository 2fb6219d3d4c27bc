/** Whether locks permit a change: of those that are in the way, the request must have brought a token (RFC 4918, section 7.5). */
import type { FileName } from "../base/ids.ts";
import { Refusal } from "./refusal.ts";
import type { Call } from "./call.ts";
import { locked, type Lock } from "./locks.ts";

/** A change of the resource itself: its bytes or properties. Throws a Refusal, 423. */
export function guardResource(call: Call, path: readonly FileName[]): void {
  guard(call, call.locks.covering(path));
}

/** It appears, or goes: then what is in it goes as well, and its folder has another member. Throws a Refusal, 423. */
export function guardMember(call: Call, path: readonly FileName[], has: "own bytes" | "all in it"): void {
  guardResource(call, path);
  guardResource(call, path.slice(0, -1));
  if (has === "own bytes") return;
  const byRoot = new Map<string, Lock[]>();
  for (const lock of call.locks.below(path)) {
    const root = lock.path.join("/");
    byRoot.set(root, [...(byRoot.get(root) ?? []), lock]);
  }
  for (const locks of byRoot.values()) guard(call, locks);
}

/** Throws a Refusal, 403. */
export function guardReadOnly({ isReadOnly }: Call): void {
  if (isReadOnly) throw new Refusal(403, "This share is read-only.");
}

/** Of an exclusive lock there is one; of shared ones any will do. */
function guard({ tokens }: Call, locks: readonly Lock[]): void {
  if (locks.length > 0 && !locks.some(({ token }) => tokens.has(token))) throw locked("lock-token-submitted", locks);
}
