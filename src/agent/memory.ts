/**
 * Keeps the agent small. Neither V8 nor malloc knows that a mount is to be small and that it idles most of the time: both keep what
 * a burst of work needed, several times what is alive.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock } from "../base/clock.ts";
import { loadAddon } from "../fuse/addon.ts";

/**
 * The old generation is collected when it grew by half since the last time (V8 lets it grow up to four times): with 100,000 files
 * created at once that is 100 MiB less a thread.
 */
const HEAP_GROWING_PERCENT = 50;

/** What Node.js is started with when we start it: a young generation of 4 MiB a half, 16 by default. */
export const NODE_FLAGS: readonly string[] = ["--max-semi-space-size=4"];

/** Has both threads keep little: to be called before the second one starts. */
export function boundMemory(): void {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  withAddon((addon) => addon.boundMemory());
}

/** Collects this thread's garbage now, and has the allocator return what is free. Takes some 20 ms. */
export function releaseMemory(): void {
  collect ??= exposeCollector();
  collect?.();
  withAddon((addon) => addon.trimMemory());
}

/** Releases memory once nothing of the kind was noted for a while: collecting holds up the thread. */
export class IdleRelease implements Disposable {
  readonly #clock: Clock;
  #timer: Disposable | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Much became garbage. */
  note(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#clock.after(IDLE_MS, releaseMemory);
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }
}

const IDLE_MS = 2_000;

let collect: (() => void) | undefined;

/** V8's collector is callable once it is exposed, in contexts made after that. */
function exposeCollector(): (() => void) | undefined {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  return typeof gc === "function" ? () => void gc() : undefined;
}

/** Without the addon the allocator does as it likes. */
function withAddon(use: (addon: ReturnType<typeof loadAddon>) => void): void {
  try {
    use(loadAddon());
  } catch {}
}
