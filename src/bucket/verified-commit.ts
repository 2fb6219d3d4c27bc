/** A commit that was read and checked, and the errors that say that one is wrong. */
import { type ErrorCode, isDamage, SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import type { CommitBody } from "../format/commits/commit-body.ts";

/** A commit whose signature, certificate, genesis and features were checked. */
export interface VerifiedCommit {
  readonly cid: Cid;
  readonly body: CommitBody;
  readonly certificate: Cid;
}

/** Whether an error says that a commit is wrong, rather than uncheckable now. */
export function isWrongCommit(error: unknown): error is SynclineError {
  return isDamage(error) || (error instanceof SynclineError && REFUSED.has(error.code));
}

/** Codes that refuse a commit which is not damaged. */
const REFUSED: ReadonlySet<string> = new Set<ErrorCode>([
  "bad_signature",
  "device_not_certified",
  "feature_unknown",
  "foreign_bucket",
  "key_invalid",
]);
