/** What the failure of a call at one of several masters means for the others. */
import { hasCode, SynclineError } from "../base/errors.ts";
import { maybeReceived, type MasterRequest } from "./master-connection.ts";

export function isAway(error: unknown): error is SynclineError {
  return hasCode(error, "store_unreachable", "arbiter_unreachable");
}

/** Whether a master did nothing since it does not admit us, as one whose clock is wrong, or with another list of wallets. */
export function refuses(error: unknown): error is SynclineError {
  return hasCode(error, "bad_token", "wallet_not_allowed");
}

/** The error of a master that is away, which also tells that another one refused. */
export function withRefusal(away: SynclineError, refusal: SynclineError | undefined): SynclineError {
  if (refusal === undefined) return away;
  const { code, message, hint, cause } = away;
  return new SynclineError(code, `${message} ${refusal.message}`, { hint: hint ?? refusal.hint, cause });
}

/** Whether the call may be sent to another master after this error. */
export function mayMove({ again }: MasterRequest, error: unknown): boolean {
  return again === undefined || (again === "if not received" && !maybeReceived(error));
}
