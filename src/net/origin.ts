/** Where a bearer may be sent: over TLS, or to this machine itself. */
import { MAX_MASTERS } from "../base/limits.ts";
import { SynclineError } from "../base/errors.ts";

/** Throws `bad_address` if sending a bearer to this host would be unencrypted, unless `insecure`. */
export function checkOrigin(origin: string, insecure: boolean): void {
  const url = new URL(origin);
  if (url.protocol === "https:" || insecure || isLoopback(url.hostname)) return;
  throw new SynclineError("bad_address", `${origin} would send your token and data unencrypted.`, {
    hint: "Use https://, or --insecure on a network that you trust. http:// needs no option on this machine.",
  });
}

/** Hosts on this machine; IPv6 addresses with or without URL brackets. */
export function isLoopback(hostname: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/.test(hostname);
}

/** Origins with the same scheme as the master that named them: never from https to http. */
export function originsIn(said: unknown, teacher: string): string[] {
  const { masters } = typeof said === "object" && said !== null ? (said as Record<string, unknown>) : {};
  if (!Array.isArray(masters)) return [];
  const texts = masters.slice(0, MAX_MASTERS).filter((text): text is string => typeof text === "string");
  const urls = texts.filter((text) => URL.canParse(text)).map((text) => new URL(text));
  const { protocol } = new URL(teacher);
  return urls.filter((url) => url.protocol === protocol && url.username === "").map((url) => url.origin);
}
