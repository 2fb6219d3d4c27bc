/** The limits of an agent, as options say them. */
import { SynclineError } from "../../base/errors.ts";
import { DEFAULT_CACHE_BYTES, DRAIN_MS, LEAST_LIMIT_BYTES } from "../../base/limits.ts";
import { newSharedBytes, type SharedBytes } from "../../agent/threads/shared-bytes.ts";
import type { Options } from "../options.ts";
import { printBytes } from "../terminal/text.ts";

/** How many bytes the block cache may take. In an agent with doors, a given size also limits unpublished bytes. */
export function cacheBytesOf({ cacheSize = "auto" }: Pick<Options, "cacheSize">): number {
  return cacheSize === "auto" ? DEFAULT_CACHE_BYTES : cacheSize;
}

/** The counter of unpublished bytes; undefined if only the disk limits them. Throws `usage` for a limit that is too low. */
export function unpublishedOf({ cacheSize = "auto" }: Pick<Options, "cacheSize">): SharedBytes | undefined {
  if (cacheSize === "auto") return undefined;
  if (cacheSize >= LEAST_LIMIT_BYTES) return newSharedBytes();
  throw new SynclineError("usage", `--cache-size must be at least ${printBytes(LEAST_LIMIT_BYTES)} here.`, {
    hint: "It also limits unpublished contents, and larger writes would never fit. With auto, it limits the cache only.",
  });
}

export function drainMsOf({ drain }: Pick<Options, "drain">): number {
  return drain === undefined ? DRAIN_MS : drain * 1_000;
}
