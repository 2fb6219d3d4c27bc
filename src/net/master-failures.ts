/** What the failure of a call at one of several masters means for the others. */
import { hasCode, SynclineError } from "../base/errors.ts";
import { maybeReceived, type MasterRequest } from "./master-connection.ts";

export function isAway(error: unknown): error is SynclineError {
  return hasCode(error, "store_unreachable", "arbiter_unreachable");
}

/** Whether a master refused to admit us, and so did nothing: its clock may be wrong, or its list of wallets another. */
export function refuses(error: unknown): error is SynclineError {
  return hasCode(error, "bad_token", "wallet_not_allowed");
}

/** The error of a master that is away, with the refusal of another one added to its message. */
export function withRefusal(away: SynclineError, refusal: SynclineError | undefined): SynclineError {
  if (refusal === undefined) return away;
  const { code, message, hint, cause } = away;
  return new SynclineError(code, `${message} ${refusal.message}`, { hint: hint ?? refusal.hint, cause });
}

/** Whether the call may be sent to another master after this error. */
export function mayMove({ again }: MasterRequest, error: unknown): boolean {
  return again === undefined || (again === "if not received" && !maybeReceived(error));
}
