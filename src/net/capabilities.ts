/** What a master says it supports. Public, and asked first; any unclear answer counts as "no". */
import { SynclineError } from "../base/errors.ts";
import { MASTER_LEASE_MS, MAX_BLOCK_ACCEPTED } from "../base/limits.ts";

export interface Capabilities {
  /** Whether it announces new roots by server-sent events; otherwise it is polled. */
  readonly watch: boolean;
  /** Whether writers can take turns. */
  readonly turns: boolean;
  /** Whether it names other masters of its buckets. */
  readonly masters: boolean;
  /** The longest block that it takes, in bytes. */
  readonly maxBlock: number;
  /** How long it keeps blocks that no root reaches, and at most the default. */
  readonly leaseMs: number;
}

/** The storage format version that this program reads and writes. */
const FORMAT = 1;

/** From the answer of `GET /fula/capabilities`. Throws `not_supported` for a server that does not serve our buckets. */
export function parseCapabilities(origin: string, value: unknown): Capabilities {
  const said: Record<string, unknown> = typeof value === "object" && value !== null ? { ...value } : {};
  const { formats, watch, turns, masters, maxBlock, lease } = said;
  if (!Array.isArray(formats) || !formats.includes(FORMAT)) {
    throw new SynclineError("not_supported", `${origin} does not serve buckets of format ${FORMAT}.`, {
      hint: Array.isArray(formats)
        ? "The master runs another version. Upgrade the older side."
        : "Check that this is the address of a master, and that this network wants no login: curl ORIGIN/fula/capabilities",
    });
  }
  const isSize = typeof maxBlock === "number" && Number.isSafeInteger(maxBlock) && maxBlock > 0;
  const isLease = typeof lease === "number" && lease > 0;
  return {
    watch: watch === true,
    turns: turns === true,
    masters: masters === true,
    maxBlock: isSize ? Math.min(maxBlock, MAX_BLOCK_ACCEPTED) : MAX_BLOCK_ACCEPTED,
    leaseMs: isLease ? Math.min(lease * 1_000, MASTER_LEASE_MS) : MASTER_LEASE_MS,
  };
}
