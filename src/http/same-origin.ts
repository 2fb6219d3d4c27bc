/**
 * Whether a change was begun by a page from elsewhere. A browser sends its user's password with whatever any page asks of us; it
 * says where the page is from (Fetch Metadata, and Origin of RFC 6454). Other programs send neither.
 */
import type { IncomingMessage } from "node:http";

/** These change nothing, whoever asks; without CORS headers no page from elsewhere may read the answer. */
const READING = new Set(["GET", "HEAD", "OPTIONS"]);

/** `request` is for a host that was found to be ours. */
export function isFromElsewhere({ method = "", headers }: Pick<IncomingMessage, "method" | "headers">): boolean {
  if (READING.has(method)) return false;
  const site = headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin" && site !== "none") return true;
  const { origin, host } = headers;
  return (
    origin !== undefined && (host === undefined || withoutPort(authorityOf(origin)) !== withoutPort(host.toLowerCase()))
  );
}

/** "null", a page without an origin, has none. Of http and https: a proxy may have spoken TLS for us. */
function authorityOf(origin: string): string {
  return /^https?:\/\/([^/]+)$/.exec(origin.toLowerCase())?.[1] ?? "";
}

/** The port that goes without saying. */
function withoutPort(authority: string): string {
  return authority.replace(/:(80|443)$/, "");
}
