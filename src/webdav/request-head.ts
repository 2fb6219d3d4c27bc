/** What node:http lets through of a request's head, and nobody should: it could mean something else to whoever looks at a part of it only. */
import type { IncomingMessage } from "node:http";
import type { Denial } from "./denial.ts";
import { MAX_HEADER_FIELDS } from "./limits.ts";

export type RequestHead = Pick<IncomingMessage, "rawHeaders" | "headers">;

/** Undefined: nothing is wrong with it. */
export function headDenial({ rawHeaders, headers }: RequestHead): Denial | undefined {
  if (rawHeaders.length / 2 > MAX_HEADER_FIELDS) {
    return denied(431, `A request has at most ${MAX_HEADER_FIELDS} header fields here.`);
  }
  const coding = headers["transfer-encoding"];
  // The parser undoes that one and no other (RFC 9112, section 6.1).
  if (coding !== undefined && !/^chunked$/i.test(coding)) {
    return denied(501, "The only transfer coding that is known here is chunked.");
  }
  return undefined;
}

/** Nobody knows what else comes on such a connection. */
function denied(status: number, message: string): Denial {
  return { status, message, headers: { connection: "close" } };
}
