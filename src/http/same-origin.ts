/**
 * Detects changes that a foreign page started. A browser sends its user's password with any page's requests to us; it also
 * says where the page is from (Fetch Metadata, and Origin of RFC 6454). Other programs send neither.
 */
import type { IncomingMessage } from "node:http";

/** These never change anything; without CORS headers no foreign page may read the answer. */
const READING = new Set(["GET", "HEAD", "OPTIONS"]);

/** `request` must be for a host that is known to be ours. */
export function isFromElsewhere({ method = "", headers }: Pick<IncomingMessage, "method" | "headers">): boolean {
  if (READING.has(method)) return false;
  const site = headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin" && site !== "none") return true;
  const { origin, host } = headers;
  return (
    origin !== undefined && (host === undefined || withoutPort(authorityOf(origin)) !== withoutPort(host.toLowerCase()))
  );
}

/** "null", a page without an origin, has none. The scheme does not count: a proxy may have spoken TLS for us. */
function authorityOf(origin: string): string {
  return /^https?:\/\/([^/]+)$/.exec(origin.toLowerCase())?.[1] ?? "";
}

/** Removes a default port. */
function withoutPort(authority: string): string {
  return authority.replace(/:(80|443)$/, "");
}
