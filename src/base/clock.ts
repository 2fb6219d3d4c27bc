/** Time as a port, which the simulator replaces. Only this file reads the machine's clock or sets timers. */
export interface Clock {
  /** Wall-clock time in nanoseconds since 1970 (Unix time). For records and display, never for ordering. */
  nowNs(): bigint;
  /** Monotonic milliseconds, for time-outs and intervals. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `action` once after `ms`, unless the returned handle is disposed first. */
  after(ms: number, action: () => void): Disposable;
}

/** The time by both clocks. The monotonic one may stand still while the machine sleeps. */
export interface BothClocks {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

export function bothClocks(clock: Pick<Clock, "nowNs" | "monotonicMs">): BothClocks {
  return { wallMs: Number(clock.nowNs() / 1_000_000n), monotonicMs: clock.monotonicMs() };
}

/** Milliseconds from one time to another, by the clock that advanced more. */
export function longestMs(from: BothClocks, to: BothClocks): number {
  return Math.max(to.wallMs - from.wallMs, to.monotonicMs - from.monotonicMs);
}

export const systemClock: Clock = {
  nowNs,
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, timerMs(ms));
      signal?.addEventListener("abort", onAbort, { once: true });
    }),
  after: (ms, action) => {
    const timer = setTimeout(action, timerMs(ms));
    timer.unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/**
 * The delay as Node.js can take it. Above its maximum of 24 days a timer would fire at once, and below zero it would print a
 * warning.
 */
function timerMs(ms: number): number {
  return Math.min(Math.max(ms, 0), 2 ** 31 - 1);
}

/** RFC 3339 in UTC with milliseconds. */
export function timeText(ns: bigint): string {
  return new Date(Number(ns / 1_000_000n)).toISOString();
}

/** Date.now() has only milliseconds; the high-resolution timer adds the rest, and is realigned when the two drift apart. */
function nowNs(): bigint {
  const wallMs = Date.now();
  const sinceNs = process.hrtime.bigint() - anchor.timerNs;
  const estimate = anchor.wallNs + sinceNs;
  if (Math.abs(Number(estimate / 1_000_000n) - wallMs) <= MAX_DRIFT_MS) return estimate;
  anchor = { wallNs: BigInt(wallMs) * 1_000_000n, timerNs: process.hrtime.bigint() };
  return anchor.wallNs;
}

const MAX_DRIFT_MS = 2;
let anchor = { wallNs: BigInt(Date.now()) * 1_000_000n, timerNs: process.hrtime.bigint() };
