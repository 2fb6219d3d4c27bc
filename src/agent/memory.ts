/**
 * Keeps the agent small, and the master. Neither V8 nor malloc knows that a mount is to be small and that it idles most of the time: both keep what
 * a burst of work needed, several times what is alive.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock } from "../base/clock.ts";
import type { Cid } from "../base/ids.ts";
import type { BlockReader } from "../blocks/block-store.ts";
import { loadAddon } from "../fuse/addon.ts";

/**
 * The old generation is collected when it grew by half since the last time (V8 lets it grow up to four times): with 100,000 files
 * created at once that is 100 MiB less a thread.
 */
const HEAP_GROWING_PERCENT = 50;

/** What Node.js is started with when we start it: a young generation of 2 MiB a half, 16 by default. */
export const NODE_FLAGS: readonly string[] = ["--max-semi-space-size=2"];

/**
 * Keeps this thread's young generation as small as it is, for a process that somebody else started: a few MiB before much was loaded,
 * 32 later else. What lies outside the heap, such as what sockets brought, is freed when it is collected: so that stays less too.
 */
export function boundYoungGeneration(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}

/**
 * Has every thread of this process collect its young generation by itself. V8 gives parts of that to helper threads and waits for them,
 * which beside other busy processes takes longer than the work: a generation of a few MiB takes 2 to 4 ms alone, and took 10 to 40 so.
 */
export function collectYoungAlone(): void {
  setFlagsFromString("--no-parallel-scavenge");
}

/** Has all threads of this process collect their heaps earlier from now on: costs a tenth more CPU, and saves half of what much work takes. */
export function boundHeap(): void {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
}

/** Has both threads keep little: to be called before the second one starts. */
export function boundMemory(): void {
  boundHeap();
  withAddon((addon) => addon.boundMemory());
}

/**
 * Collects this thread's garbage now, and has both threads collect earlier until it is disposed: a large epoch takes several times what
 * an agent needs else. Costs a few collections more.
 */
export function saveMemory(): Disposable {
  releaseMemory();
  setFlagsFromString(`--heap-growing-percent=${SAVING_PERCENT}`);
  return { [Symbol.dispose]: () => setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`) };
}

const SAVING_PERCENT = 15;

/**
 * Collects this thread's garbage now, and has the allocator return what is free. Takes some 20 ms. Pages that the first collection
 * empties are still being swept when it ends; the second, which is short, gives them back.
 */
export function releaseMemory(): void {
  collectGarbage();
  collectGarbage();
  withAddon((addon) => addon.trimMemory());
}

/** Collects this thread's garbage now, or only what was made lately. */
export function collectGarbage(what: "young" | "all" = "all"): void {
  collect ??= exposeCollector();
  collect?.(what);
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

/** Reads from `inner`, and has memory released some time after much was read: most of it is dropped from caches again. */
export function releasingReader(inner: BlockReader, idleRelease: Pick<IdleRelease, "note">): BlockReader {
  let blocks = 0;
  const count = (some: number) => {
    blocks += some;
    if (blocks < MANY_BLOCKS) return;
    blocks = 0;
    idleRelease.note();
  };
  return {
    get: (cid) => {
      count(1);
      return inner.get(cid);
    },
    getMany: (cids: readonly Cid[]) => {
      count(cids.length);
      return inner.getMany(cids);
    },
    // Leaves nothing to release.
    readInto: async (blocks, target) => (await inner.readInto?.(blocks, target)) ?? 0,
  };
}

/** 4 MiB of usual nodes. */
const MANY_BLOCKS = 256;

let collect: ((what: "young" | "all") => void) | undefined;

/** V8's collector is callable once it is exposed, in contexts made after that. */
function exposeCollector(): typeof collect {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  return typeof gc === "function" ? (what) => void (what === "all" ? gc() : gc({ type: "minor" })) : undefined;
}

/** Without the addon the allocator does as it likes. */
function withAddon(use: (addon: ReturnType<typeof loadAddon>) => void): void {
  try {
    use(loadAddon());
  } catch {}
}
