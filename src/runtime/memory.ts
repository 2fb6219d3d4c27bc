/**
 * Keeps agents and masters small. V8 and malloc both keep the memory that a burst of work needed, several times the live
 * data: they do not know that a mount should be small and is idle most of the time.
 */
import { totalmem } from "node:os";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock } from "../base/clock.ts";
import { saveCompiledCode } from "./compiled-code.ts";
import { loadProcessAddon } from "./native.ts";

/** The old generation's limit: far more than an agent needs, unless very many changes wait to be published. */
export const HEAP_LIMIT_MB = 6144;

/** Flags when we start Node.js: 2 MiB for each half of the young generation (its default is 16), and the limit above. */
export const NODE_FLAGS: readonly string[] = ["--max-semi-space-size=2", `--max-old-space-size=${HEAP_LIMIT_MB}`];

/** Makes the allocator keep little. Call before the second thread starts. */
export function boundMemory(): void {
  loadProcessAddon().boundMemory?.();
}

/**
 * Lets heaps grow by 60% between collections. Call it once a process that stays has started, with all its threads, for the
 * reason at `setLate`. By itself V8 lets one with the limit above grow by up to 3 times its size
 * (`MemoryController::MaxGrowingFactor` in V8's heap/memory-controller.cc).
 */
export function boundHeaps(): void {
  setLate("--heap-growing-percent=60", 22, 24, 26);
}

/**
 * Makes V8 count the bytes of buffers as those of its heap. By itself it collects all garbage after each 32 MiB of new
 * buffers, however few of them are still in use: 47 times while `get` wrote 500 MB, against 10 with this flag. The process
 * then needs some 40 MiB more, so this is for commands that end. Call it before many bytes move.
 */
export function countBuffers(): void {
  setLate("--external-memory-accounted-in-global-limit", 24, 26);
}

/**
 * Sets a flag once all code is loaded: V8 takes no compiled code that was made under other flags, so all that loads later is
 * compiled anew, Node.js's own modules included. What was compiled so far is saved first. Node.js does not document V8's
 * flags, so they are set only in the major versions that are known to have them: V8 prints an error about unknown ones.
 */
function setLate(flag: string, ...majors: readonly number[]): void {
  saveCompiledCode();
  if (majors.includes(Number.parseInt(process.versions.node, 10))) setFlagsFromString(flag);
}

/**
 * How many changed objects fit into memory until they are published, where those that the base has count as two. Measured with
 * 1,400,000 new ones: together they take 5 KiB each, and 2.2 KiB in the heap of the thread that publishes, or 3.8 where all of
 * them conflict. To be called on that thread.
 */
export function objectsInMemory(bytes = systemBytes()): number {
  const forObjects = Math.max(bytes - AGENT_BYTES, LEAST_OBJECTS * OBJECT_BYTES);
  return Math.floor(Math.min(forObjects / OBJECT_BYTES, getHeapStatistics().heap_size_limit / OBJECT_HEAP_BYTES));
}

/** How much memory a collection or verification may take for its lists of blocks. An agent needs memory for other work, too. */
export function blockListBytes(who: "agent" | "command"): number {
  return systemBytes() / (who === "agent" ? 4 : 2);
}

function systemBytes(): number {
  return Math.min(totalmem(), process.constrainedMemory() || Infinity);
}

/** What an agent takes apart from changed objects. */
const AGENT_BYTES = 128 * 1024 * 1024;
/** The least that a small machine needs to be of use. */
const LEAST_OBJECTS = 1_024;
/** Both with room for everything else. */
const OBJECT_BYTES = 10 * 1024;
const OBJECT_HEAP_BYTES = 4.5 * 1024;

/**
 * Collects this thread's garbage and makes V8 and the allocator return free memory. Takes some 20 ms. V8 keeps the most
 * pages that it ever needed (a file of 200 MiB left 500 MiB) until its last-resort collection. That also drops optimized
 * code, so only the thread that publishes uses it: elsewhere listings took twice as long.
 */
export function releaseMemory(): void {
  collect("last resort");
  loadProcessAddon().trimMemory?.();
}

/**
 * As `releaseMemory`, for a thread that programs wait for: V8 keeps its pages, and optimized code for objects that are all
 * dead. Pages that the first collection empties are still being swept when it ends; the second is short.
 */
export function releaseGarbage(): void {
  collect("all");
  collect("all");
  loadProcessAddon().trimMemory?.();
}

/** Collects this thread's garbage now: all, or only the young generation. V8 keeps the emptied pages. */
export function collectGarbage(what: "young" | "all" = "all"): void {
  collect(what);
}

/**
 * Releases memory once there is much garbage. A collection blocks the thread, so it waits for a quiet moment, but not for
 * long: on a busy thread the heap would grow to several times the live data.
 */
export class IdleRelease implements Disposable {
  readonly #clock: Clock;
  readonly #release: () => void;
  #timer: Disposable | undefined;
  /** When garbage was first noted since the last release. */
  #sinceMs: number | undefined;

  constructor(clock: Clock, release = releaseMemory) {
    this.#clock = clock;
    this.#release = release;
  }

  /** There is much garbage. */
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

  /** There is a little garbage: not worth interrupting a busy thread, so it is released in a quiet moment. */
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

/** Takes V8's collector from a context made for it. The flag is set only while that happens, for the reason at `setLate`. */
function exposeCollector(): typeof collector {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  setFlagsFromString("--no-expose-gc");
  return typeof gc === "function" ? (options) => void gc(options) : undefined;
}
