/** Error codes for a bucket that is out of reach, that denies this agent access, or where something else answers. */
export const UNREACHABLE: ReadonlySet<string> = new Set([
  "arbiter_unreachable",
  "bad_token",
  "bucket_locked",
  "key_locked",
  "no_grant",
  "no_such_bucket",
  "not_supported",
  "store_unreachable",
  "time_out",
  "wallet_not_allowed",
]);
