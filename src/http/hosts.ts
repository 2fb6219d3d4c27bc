/**
 * Names under which this server may be called. A page from elsewhere can have its own name resolved to this machine ("DNS
 * rebinding"), and its scripts then count as ours to a browser: what gives it away is the Host header.
 */
import { isLoopback } from "../net/origin.ts";

/** Every interface: it says nothing about a name. */
const WILDCARDS = new Set(["0.0.0.0", "::", "*", ""]);

export class AllowedHosts {
  readonly #names: ReadonlySet<string>;

  /** `listen` is what the server was told to listen on, `more` are names given besides. */
  constructor(listen: string, more: readonly string[]) {
    this.#names = new Set([listen, ...more].map(plainHost).filter((name) => !WILDCARDS.has(name)));
  }

  /** `host` as the Host header has it, with its port or without; `local` is the address at which the connection came in. */
  permits(host: string | undefined, local: string | undefined): boolean {
    if (host === undefined) return false;
    const name = plainHost(host);
    // An address cannot be rebound: only names are looked up.
    return isLoopback(name) || this.#names.has(name) || (local !== undefined && name === plainHost(local));
  }
}

/** Without port, brackets, a dot at the end, and how IPv6 spells IPv4. */
function plainHost(host: string): string {
  const [, name = host] =
    /^\[?(.*?)\]?(?::\d{1,5})?$/.exec(host.includes("::") && !host.includes("[") ? `[${host}]` : host) ?? [];
  return name
    .toLowerCase()
    .replace(/\.$/, "")
    .replace(/^::ffff:(?=\d+\.)/, "");
}
