/**
 * Refuses request heads that node:http accepts but that are ambiguous: programs that read only a part could understand them
 * differently.
 */
import type { IncomingMessage } from "node:http";
import type { Denial } from "./denial.ts";
import { MAX_HEADER_FIELDS } from "./limits.ts";

export type RequestHead = Pick<IncomingMessage, "rawHeaders" | "headers" | "headersDistinct" | "httpVersion">;

/** Undefined: nothing is wrong with it. */
export function headDenial(request: RequestHead): Denial | undefined {
  const { rawHeaders, headers, headersDistinct, httpVersion } = request;
  if (rawHeaders.length / 2 > MAX_HEADER_FIELDS) {
    return denied(431, `A request may have at most ${MAX_HEADER_FIELDS} header fields.`);
  }
  const twice = ONCE.find((name) => (headersDistinct[name]?.length ?? 0) > 1);
  if (twice !== undefined) return denied(400, `The ${twice} header occurs more than once.`);
  if (httpVersion !== "1.0" && headers.host === undefined) return denied(400, "The Host header is missing.");
  const coding = headers["transfer-encoding"];
  // The parser decodes only this one (RFC 9112, section 6.1).
  if (coding !== undefined && !/^chunked$/i.test(coding)) {
    return denied(501, "The only supported transfer coding is chunked.");
  }
  return undefined;
}

/** Significant headers whose second occurrence node:http would drop or join. */
const ONCE = ["host", "authorization", "destination", "if-modified-since", "if-unmodified-since"];

/** A host in the target takes precedence over Host (RFC 9112, section 3.2.2): Host is set to it. */
export function setHostFromTarget({ url = "", headers }: Pick<IncomingMessage, "url" | "headers">): void {
  const host = hostOfTarget(url);
  if (host !== undefined) headers.host = host;
}

/** What follows on such a connection cannot be trusted. */
function denied(status: number, message: string): Denial {
  return { status, message, headers: { connection: "close" } };
}

/** The host in a request line in absolute form, with or without port. */
function hostOfTarget(target: string): string | undefined {
  return /^https?:\/\/([^/?#@]+)([/?#].*)?$/is.exec(target)?.[1];
}
