/** A list of CIDs as calls send it: {"cids":[…]}. */
import { hasCode } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { parseCid } from "../../format/blocks/cid.ts";
import { Refusal } from "../http/refusal.ts";

/** Without duplicates, in their order. Throws `malformed_request`, `bad_cid`, `limit_exceeded`. */
export function cidsIn(value: unknown, most: number): Cid[] {
  const list = typeof value === "object" && value !== null && "cids" in value ? value.cids : undefined;
  if (!Array.isArray(list)) throw new Refusal("malformed_request", 'The body must be {"cids":["…"]}.');
  if (list.length > most) {
    throw new Refusal("limit_exceeded", `A call can ask for at most ${most} blocks. Split it into several calls.`, {
      details: { limit: most },
    });
  }
  return [...new Set(list.map(cidFrom))];
}

/** Throws `bad_cid`. */
export function cidFrom(text: unknown): Cid {
  try {
    return parseCid(typeof text === "string" ? text : "");
  } catch (cause) {
    if (!hasCode(cause, "format_invalid")) throw cause;
    const shown = typeof text === "string" ? JSON.stringify(text.slice(0, 80)) : "A value that is not a string";
    throw new Refusal("bad_cid", `${shown} is not a base32 CIDv1 with codec raw or dag-cbor and a blake3-256 hash.`, {
      cause,
    });
  }
}
