/** Turns a master's refusal into our errors. Masters are untrusted: only known codes count, and text is cut and cleaned. */
import { SynclineError, type ErrorCode } from "../base/errors.ts";
import { escapeForPrint } from "../base/names.ts";

/** A refusal as received: `code` is the master's own. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** Reads a refusal from an answer's status and JSON, whatever they hold. */
export function refusalOf(status: number, value: unknown): Refusal {
  const said: Record<string, unknown> = typeof value === "object" && value !== null ? { ...value } : {};
  const { code, message } = said;
  return {
    status,
    code: typeof code === "string" ? code.slice(0, MAX_CODE) : "",
    message: typeof message === "string" ? escapeForPrint(message.slice(0, MAX_MESSAGE)) : "",
    value: said,
  };
}

export function errorOf(origin: string, refusal: Refusal): SynclineError {
  const { status, message } = refusal;
  const code = codeOf(refusal);
  const words = message === "" ? `The master answered with status ${status}.` : message;
  return new SynclineError(code, `${origin}: ${words}`, { hint: HINTS[code] });
}

const MAX_CODE = 64;
const MAX_MESSAGE = 500;

/** Codes accepted from a master; for any other code the status decides. */
const REFUSALS: ReadonlySet<string> = new Set<ErrorCode>([
  "arbiter_unreachable",
  "bad_signature",
  "bad_token",
  "block_not_found",
  "device_not_certified",
  "disk_full",
  "format_invalid",
  "limit_exceeded",
  "missing_blocks",
  "no_grant",
  "no_such_bucket",
  "not_supported",
  "over_quota",
  "store_failed",
  "store_unreachable",
  "time_out",
  "wallet_not_allowed",
]);

function codeOf({ status, code }: Refusal): ErrorCode {
  // Statuses about access are never overruled by codes about data, nor the other way round.
  if (status === 401) return "bad_token";
  if (status === 402) return "over_quota";
  if (REFUSALS.has(code)) return code as ErrorCode;
  if (code === "foreign_genesis") return "foreign_bucket";
  if (status === 403) return "wallet_not_allowed";
  if (status === 404) return "no_such_bucket";
  if (status === 408) return "time_out";
  if (status === 409 || status === 412) return "precondition_failed";
  if (status === 413) return "limit_exceeded";
  if (status === 429 || status >= 500) return "store_unreachable";
  return "store_failed";
}

const HINTS: Partial<Record<ErrorCode, string>> = {
  bad_token: "Check the clocks of this machine and the master, and which key is used: --key FILE, SYNCLINE_KEY.",
  wallet_not_allowed: "Ask whoever runs the master to serve your wallet: syncline serve --allow WALLET.",
  over_quota:
    "Remove data, new files first, or ask for more. Agents keep unpublished data, and publish it once there is room.",
  store_unreachable: "The master is running but cannot serve now. See its log.",
  arbiter_unreachable: "The master is running but cannot reach its roots. See its log.",
  disk_full: "The master's disk is full. Agents keep unpublished data.",
};
