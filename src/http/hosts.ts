/**
 * The host names that this server accepts. A foreign page can have its own name resolved to this machine ("DNS rebinding"):
 * a browser then treats its scripts as ours. The Host header reveals this.
 */
import { isLoopback } from "../net/origin.ts";

/** Every interface: they do not restrict the name. */
const WILDCARDS = new Set(["0.0.0.0", "::", "*", ""]);

export class AllowedHosts {
  readonly #names: ReadonlySet<string>;

  /** `listen`: the server's listening address. `more`: additional names. */
  constructor(listen: string, more: readonly string[]) {
    this.#names = new Set([listen, ...more].map(plainHost).filter((name) => !WILDCARDS.has(name)));
  }

  /** `host`: the Host header, with or without port. `local`: the local address of the connection. */
  permits(host: string | undefined, local: string | undefined): boolean {
    if (host === undefined) return false;
    const name = plainHost(host);
    // Only names are resolved: addresses cannot be rebound.
    return isLoopback(name) || this.#names.has(name) || (local !== undefined && name === plainHost(local));
  }
}

/** Without port, brackets and final dot, and with IPv4 addresses not spelled as IPv6. */
function plainHost(host: string): string {
  const [, name = host] =
    /^\[?(.*?)\]?(?::\d{1,5})?$/.exec(host.includes("::") && !host.includes("[") ? `[${host}]` : host) ?? [];
  return name
    .toLowerCase()
    .replace(/\.$/, "")
    .replace(/^::ffff:(?=\d+\.)/, "");
}
