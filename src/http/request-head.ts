/** What node:http lets through of a request's head, and nobody should: it could mean something else to whoever looks at a part of it only. */
import type { IncomingMessage } from "node:http";
import type { Denial } from "./denial.ts";
import { MAX_HEADER_FIELDS } from "./limits.ts";

export type RequestHead = Pick<IncomingMessage, "rawHeaders" | "headers" | "headersDistinct" | "httpVersion">;

/** Undefined: nothing is wrong with it. */
export function headDenial(request: RequestHead): Denial | undefined {
  const { rawHeaders, headers, headersDistinct, httpVersion } = request;
  if (rawHeaders.length / 2 > MAX_HEADER_FIELDS) {
    return denied(431, `A request has at most ${MAX_HEADER_FIELDS} header fields here.`);
  }
  const twice = ONCE.find((name) => (headersDistinct[name]?.length ?? 0) > 1);
  if (twice !== undefined) return denied(400, `The header ${twice} came more than once.`);
  if (httpVersion !== "1.0" && headers.host === undefined) return denied(400, "The header Host is missing.");
  const coding = headers["transfer-encoding"];
  // The parser undoes that one and no other (RFC 9112, section 6.1).
  if (coding !== undefined && !/^chunked$/i.test(coding)) {
    return denied(501, "The only transfer coding that is known here is chunked.");
  }
  return undefined;
}

/** Headers whose second occurrence node:http would drop or join, and that decide something. */
const ONCE = ["host", "authorization", "destination", "if-modified-since", "if-unmodified-since"];

/** Where the target names a host, the request is for that one, whatever Host says (RFC 9112, section 3.2.2): from here on Host says so, too. */
export function heedTargetHost({ url = "", headers }: Pick<IncomingMessage, "url" | "headers">): void {
  const host = hostOfTarget(url);
  if (host !== undefined) headers.host = host;
}

/** Nobody knows what else comes on such a connection. */
function denied(status: number, message: string): Denial {
  return { status, message, headers: { connection: "close" } };
}

/** The host that a request line names in absolute form, with its port or without. */
function hostOfTarget(target: string): string | undefined {
  return /^https?:\/\/([^/?#@]+)([/?#].*)?$/is.exec(target)?.[1];
}
