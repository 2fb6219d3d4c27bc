/** Turns errors of the layers below into answers: the only place that does. */
import { SynclineError, type ErrorCode } from "../../base/errors.ts";
import { describeError, type Log } from "../../base/log.ts";
import { Refusal, type RefusalCode } from "./refusal.ts";
import type { Answer } from "./route.ts";

/** The answer to a failed call. Our own faults are logged in full; the caller gets no paths and causes. */
export function answerTo(error: unknown, log: Log, call: string): Answer {
  const refusal = refusalOf(error);
  // Strangers must not fill the log.
  if (refusal.status >= 500 && refusal.code !== "busy") log.error(`${call} failed: ${describeError(error)}`);
  const { code, message, details, status, headers } = refusal;
  return { status, headers, json: { code, message, ...details } };
}

/** What an owner may see of the error that ended work on its data. Not for the log: it names no paths and causes. */
export function publicError(error: unknown): { readonly code: string; readonly message: string } {
  if (error instanceof SynclineError && OF_THE_OWNER.has(error.code))
    return { code: error.code, message: error.message };
  const { code, message } = refusalOf(error);
  return { code, message };
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const code = error instanceof SynclineError ? (CODES[error.code] ?? "internal") : "internal";
  const hidden = HIDDEN[code];
  if (hidden !== undefined) return new Refusal(code, hidden, { cause: error });
  const message = error instanceof Error ? error.message : "";
  return new Refusal(code, message, { cause: error });
}

const CODES: Readonly<Partial<Record<ErrorCode, RefusalCode>>> = {
  arbiter_unreachable: "arbiter_unreachable",
  bad_signature: "bad_signature",
  bad_token: "token_malformed",
  block_corrupt: "store_failed",
  block_not_found: "block_not_found",
  device_not_certified: "device_not_certified",
  disk_full: "disk_full",
  feature_unknown: "feature_unknown",
  foreign_bucket: "foreign_genesis",
  format_invalid: "format_invalid",
  limit_exceeded: "limit_exceeded",
  local_io_failed: "store_failed",
  name_invalid: "name_invalid",
  no_such_bucket: "no_such_bucket",
  store_corrupt: "store_failed",
  store_failed: "store_failed",
  store_unreachable: "store_unreachable",
  time_out: "time_out",
};

/** Replaces messages that may name local files. */
const HIDDEN: Readonly<Partial<Record<RefusalCode, string>>> = {
  arbiter_unreachable: "The roots of buckets cannot be read or changed at the moment. Try again later.",
  disk_full: "The master is out of disk space and stored nothing of this call. Its operator must free some space.",
  internal: "Internal error in the master. See its log. Trying again may help.",
  store_failed: "The master's store failed. See its log. Try again later, or tell its operator.",
  store_unreachable: "The master's store is not answering. Try again later.",
};

/** Codes whose messages speak of the owner's own buckets, or of other work on them. */
const OF_THE_OWNER: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "bucket_locked",
  "root_moved",
  "root_rolled_back",
  "store_corrupt",
]);
