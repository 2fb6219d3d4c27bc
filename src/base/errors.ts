/**
 * The one error type that crosses layers: a stable code for programs, a sentence for people, and what to do next.
 *
 * Codes are part of the public interface (docs/reference/errors.md lists them); messages are not.
 */
export class SynclineError extends Error {
  readonly code: ErrorCode;
  /** What the person can do about it, as a full sentence; absent if nothing helps. */
  readonly hint: string | undefined;
  /** The code with which a command ends. Differs from `code` where a service that runs on tries again all the same. */
  readonly ending: ErrorCode;

  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string | undefined; cause?: unknown; ending?: ErrorCode | undefined } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "SynclineError";
    this.code = code;
    this.hint = options.hint;
    this.ending = options.ending ?? code;
  }
}

/** Whether `error` is ours and carries one of these codes. */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): error is SynclineError {
  return error instanceof SynclineError && codes.includes(error.code);
}

/** Whether the data itself is missing or wrong, as opposed to unreadable for now. */
export function isDamage(error: unknown): error is SynclineError {
  return error instanceof SynclineError && DAMAGE.has(error.code);
}

/** The result of `work`; undefined if it meets damage. */
export async function unlessDamaged<Value>(work: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!isDamage(error)) throw error;
    return undefined;
  }
}

const DAMAGE: ReadonlySet<string> = new Set<ErrorCode>([
  "block_corrupt",
  "block_not_found",
  "format_invalid",
  "object_not_found",
  "store_corrupt",
]);

export type ErrorCode =
  | "arbiter_unreachable"
  | "bad_address"
  | "bad_signature"
  | "bad_token"
  | "block_corrupt"
  | "block_not_found"
  | "bucket_exists"
  | "bucket_locked"
  | "cannot_listen"
  | "config_invalid"
  | "device_not_certified"
  | "disk_full"
  | "feature_unknown"
  | "foreign_bucket"
  | "format_invalid"
  | "fuse_unavailable"
  | "internal"
  | "key_invalid"
  | "key_locked"
  | "limit_exceeded"
  | "local_io_failed"
  | "missing_blocks"
  | "mount_busy"
  | "mount_not_empty"
  | "name_invalid"
  | "no_agent"
  | "no_grant"
  | "no_such_bucket"
  | "no_such_path"
  | "no_such_root"
  | "not_a_directory"
  | "is_a_directory"
  | "not_supported"
  | "object_not_found"
  | "over_quota"
  | "path_exists"
  | "paused"
  | "precondition_failed"
  | "read_timeout"
  | "root_rolled_back"
  | "root_moved"
  | "state_corrupt"
  | "state_in_use"
  | "store_corrupt"
  | "store_failed"
  | "store_unreachable"
  | "time_out"
  | "unpublished_data"
  | "usage"
  | "wallet_not_allowed";
