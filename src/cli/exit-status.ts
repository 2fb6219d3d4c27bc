/** Exit statuses, the same for every command, and which errors cause them. */
import type { ErrorCode } from "../base/errors.ts";
import { failureOf } from "../base/failure.ts";

export type ExitStatus = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

export const EXIT_MEANINGS: Readonly<Record<ExitStatus, string>> = {
  0: "done",
  1: "failed, reason on stderr",
  2: "usage",
  3: "unpublished data remains",
  4: "conflict or precondition (bucket exists, state in use, root moved)",
  5: "not authorized",
  6: "unreachable",
  7: "deletions await approval",
  8: "damage found",
};

/** The status with which this error ends a command. */
export function exitStatusOf(error: unknown): ExitStatus {
  return ERROR_STATUSES[failureOf(error).code];
}

/** The status of every error code. docs/reference/errors.md has the same list. */
export const ERROR_STATUSES: Readonly<Record<ErrorCode, ExitStatus>> = {
  arbiter_unreachable: 6,
  bad_address: 2,
  bad_signature: 8,
  bad_token: 5,
  block_corrupt: 8,
  block_not_found: 8,
  bucket_exists: 4,
  bucket_locked: 4,
  cannot_listen: 1,
  config_invalid: 2,
  device_not_certified: 5,
  disk_full: 1,
  feature_unknown: 1,
  foreign_bucket: 4,
  format_invalid: 8,
  fuse_unavailable: 1,
  internal: 1,
  is_a_directory: 1,
  key_invalid: 5,
  key_locked: 5,
  limit_exceeded: 1,
  local_io_failed: 1,
  missing_blocks: 8,
  mount_busy: 4,
  mount_not_empty: 4,
  name_invalid: 2,
  no_agent: 1,
  no_grant: 5,
  no_such_bucket: 1,
  no_such_path: 1,
  no_such_root: 1,
  not_a_directory: 1,
  not_supported: 1,
  object_not_found: 1,
  over_quota: 1,
  path_exists: 4,
  paused: 3,
  precondition_failed: 4,
  read_timeout: 6,
  root_moved: 4,
  root_rolled_back: 4,
  state_corrupt: 8,
  state_in_use: 4,
  store_corrupt: 8,
  store_failed: 1,
  store_unreachable: 6,
  time_out: 6,
  unpublished_data: 3,
  usage: 2,
  wallet_not_allowed: 5,
};
