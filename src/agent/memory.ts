/**
 * Gives memory back after large work. A flush of a big file leaves hundreds of MiB of dead buffers that nothing collects while
 * the agent idles, since the collector sees the small objects that own them and not the bytes.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { loadAddon } from "../fuse/addon.ts";

/** Collects garbage now, and has the allocator return what is free. Takes some 20 ms. */
export function releaseMemory(): void {
  collect ??= exposeCollector();
  collect?.();
  try {
    loadAddon().trimMemory();
  } catch {
    // Without the addon the allocator keeps what it has.
  }
}

let collect: (() => void) | undefined;

/** V8's collector is callable once it is exposed, in contexts made after that. */
function exposeCollector(): (() => void) | undefined {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  return typeof gc === "function" ? () => void gc() : undefined;
}
