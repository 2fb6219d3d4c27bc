/**
 * A master's negative answers: a status, a stable code, a sentence, and facts for programs.
 *
 * Handlers throw these; failure.ts turns errors of lower layers into them. docs/reference/protocol.md has the table.
 */
import type { BodyProblem } from "../../http/request-body.ts";

/** Every code that an answer may carry, and the status it comes with. */
export const REFUSALS = {
  malformed_request: 400,
  malformed_car: 400,
  bad_cid: 400,
  bad_condition: 400,
  empty_body: 400,
  name_invalid: 400,
  format_invalid: 400,
  feature_unknown: 400,
  bearer_missing: 401,
  token_malformed: 401,
  token_expired: 401,
  token_early: 401,
  token_too_long: 401,
  token_foreign: 401,
  token_revoked: 401,
  over_quota: 402,
  wallet_not_allowed: 403,
  no_grant: 403,
  device_not_certified: 403,
  bad_signature: 403,
  no_such_call: 404,
  no_such_bucket: 404,
  block_not_found: 404,
  method_not_allowed: 405,
  time_out: 408,
  missing_blocks: 409,
  foreign_genesis: 409,
  not_descendant: 409,
  bad_seq: 409,
  conflict: 412,
  limit_exceeded: 413,
  encoding_unknown: 415,
  expectation_failed: 417,
  cid_mismatch: 422,
  condition_missing: 428,
  too_many_watches: 429,
  headers_too_large: 431,
  internal: 500,
  store_failed: 502,
  arbiter_unreachable: 503,
  busy: 503,
  in_the_way: 503,
  quota_unreachable: 503,
  store_unreachable: 503,
  version_unknown: 505,
  disk_full: 507,
} as const;

export type RefusalCode = keyof typeof REFUSALS;

export class Refusal extends Error {
  readonly code: RefusalCode;
  readonly status: number;
  /** Further members of the JSON body. */
  readonly details: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  /** `message` says what happened and what to do. It must not contain bearers or bytes of blocks. */
  constructor(
    code: RefusalCode,
    message: string,
    options: {
      details?: Readonly<Record<string, unknown>>;
      headers?: Readonly<Record<string, string>>;
      cause?: unknown;
    } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "Refusal";
    this.code = code;
    this.status = REFUSALS[code];
    this.details = options.details ?? {};
    this.headers = options.headers ?? {};
  }
}

/** The refusal for an error in reading a body. */
export function refuseBody({ what, message, limit }: BodyProblem): Refusal {
  switch (what) {
    case "encoding":
      return new Refusal("encoding_unknown", message, { headers: { "accept-encoding": "identity" } });
    case "too long":
      return new Refusal("limit_exceeded", message, { details: { limit } });
    case "too slow":
      return new Refusal("time_out", message);
    case "in the way":
      return new Refusal("in_the_way", message, { headers: { "retry-after": "1" } });
    case "read before":
      return new Refusal("malformed_request", message);
  }
}
