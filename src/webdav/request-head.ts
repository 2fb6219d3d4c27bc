/** What node:http lets through of a request's head, and nobody should: it could mean something else to whoever looks at a part of it only. */
import type { IncomingMessage } from "node:http";
import type { Denial } from "./denial.ts";
import { MAX_HEADER_FIELDS } from "./limits.ts";

export type RequestHead = Pick<IncomingMessage, "rawHeaders">;

/** Undefined: nothing is wrong with it. */
export function headDenial({ rawHeaders }: RequestHead): Denial | undefined {
  if (rawHeaders.length / 2 > MAX_HEADER_FIELDS) {
    const message = `A request has at most ${MAX_HEADER_FIELDS} header fields here.`;
    return { status: 431, message, headers: { connection: "close" } };
  }
  return undefined;
}
