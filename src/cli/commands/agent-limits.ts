/** The limits of an agent, as options say them. */
import { SynclineError } from "../../base/errors.ts";
import { DEFAULT_CACHE_BYTES, DRAIN_MS, LEAST_LIMIT_BYTES } from "../../base/limits.ts";
import { newSharedBytes, type SharedBytes } from "../../agent/threads/shared-bytes.ts";
import type { Options } from "../options.ts";
import { printBytes } from "../terminal/text.ts";

/** How many bytes the block cache may take; for an agent with doors, together with unpublished bytes if a size is given. */
export function cacheBytesOf({ cacheSize = "auto" }: Pick<Options, "cacheSize">): number {
  return cacheSize === "auto" ? DEFAULT_CACHE_BYTES : cacheSize;
}

/** Where unpublished bytes are counted; undefined if only the disk bounds them. Throws `usage` for a useless limit. */
export function unpublishedOf({ cacheSize = "auto" }: Pick<Options, "cacheSize">): SharedBytes | undefined {
  if (cacheSize === "auto") return undefined;
  if (cacheSize >= LEAST_LIMIT_BYTES) return newSharedBytes();
  throw new SynclineError("usage", `--cache-size must be at least ${printBytes(LEAST_LIMIT_BYTES)} here.`, {
    hint: "It also bounds unpublished contents, and larger writes would never fit. Or give auto.",
  });
}

export function drainMsOf({ drain }: Pick<Options, "drain">): number {
  return drain === undefined ? DRAIN_MS : drain * 1_000;
}
