/**
 * Keeps the agent small, and the master. Neither V8 nor malloc knows that a mount is to be small and that it idles most of the time: both keep what
 * a burst of work needed, several times what is alive.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock } from "../../base/clock.ts";
import type { Cid } from "../../base/ids.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { loadAddon } from "../../fuse/addon.ts";

/**
 * The old generation's limit. Far more than an agent needs; but V8 lets a heap with a lower limit grow by less between collections: by 0.6
 * with this one, by up to 3 with its own (`MemoryController::MaxGrowingFactor` in V8's heap/memory-controller.cc).
 */
export const HEAP_LIMIT_MB = 1024;

/** What Node.js is started with when we start it: a young generation of 2 MiB a half (its own default is 16), and the limit above. */
export const NODE_FLAGS: readonly string[] = ["--max-semi-space-size=2", `--max-old-space-size=${HEAP_LIMIT_MB}`];

/** Has the allocator keep little: to be called before the second thread starts. */
export function boundMemory(): void {
  withAddon((addon) => addon.boundMemory());
}

/**
 * Collects this thread's garbage now, and has V8 and the allocator return what is free. Takes some 20 ms. V8 keeps the pages that a
 * collection empties for itself, as many as it ever needed at once; it returns them only with the collection of its last resort.
 */
export function releaseMemory(): void {
  collect("last resort");
  withAddon((addon) => addon.trimMemory());
}

/**
 * As `releaseMemory`, for a thread that programs wait for: V8 keeps its pages, and the optimised code that has met objects of which none
 * is alive now. Pages that the first collection empties are still being swept when it ends; the second is short.
 */
export function releaseGarbage(): void {
  collect("all");
  collect("all");
  withAddon((addon) => addon.trimMemory());
}

/** Collects this thread's garbage now, or only what was made lately. V8 keeps the pages that this empties. */
export function collectGarbage(what: "young" | "all" = "all"): void {
  collect(what);
}

/**
 * Releases memory once much became garbage. Collecting holds up the thread: it waits until no more is noted for a while, but on a thread
 * that is always busy not for long, or the heap would grow to several times what is alive.
 */
export class IdleRelease implements Disposable {
  readonly #clock: Clock;
  readonly #release: () => void;
  #timer: Disposable | undefined;
  /** When it was noted first since the last release. */
  #sinceMs: number | undefined;

  constructor(clock: Clock, release = releaseMemory) {
    this.#clock = clock;
    this.#release = release;
  }

  /** Much became garbage. */
  note(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#sinceMs ??= nowMs;
    this.#timer?.[Symbol.dispose]();
    const waitMs = Math.max(0, Math.min(IDLE_MS, this.#sinceMs + LATEST_MS - nowMs));
    this.#timer = this.#clock.after(waitMs, () => {
      this.#sinceMs = undefined;
      this.#release();
    });
  }

  /** A little garbage was made: too little to interrupt a busy thread, so it is released once the thread is quiet. */
  noteLittle(): void {
    if (this.#sinceMs !== undefined) return;
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#clock.after(QUIET_MS, () => this.#release());
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }
}

const IDLE_MS = 2_000;
const LATEST_MS = 15_000;
const QUIET_MS = 10_000;

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

/** What `gc` takes (V8's extensions/gc-extension.h; `NodeJS.GCOptions` in Node.js's types). */
const COLLECTIONS = {
  young: { type: "minor" },
  all: { type: "major" },
  "last resort": { type: "major", flavor: "last-resort" },
} as const;

let collector: ((options: NodeJS.GCOptions) => void) | undefined;

function collect(what: keyof typeof COLLECTIONS): void {
  collector ??= exposeCollector();
  collector?.(COLLECTIONS[what]);
}

/** V8's collector is callable once it is exposed, in contexts made after that. */
function exposeCollector(): typeof collector {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  return typeof gc === "function" ? (options) => void gc(options) : undefined;
}

/** Without the addon the allocator does as it likes. */
function withAddon(use: (addon: ReturnType<typeof loadAddon>) => void): void {
  try {
    use(loadAddon());
  } catch {}
}
