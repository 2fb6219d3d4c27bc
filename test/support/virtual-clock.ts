/** Time that passes only when everything that runs is waiting for it: hours go by in moments, in an order that repeats. */
import { setImmediate } from "node:timers/promises";
import type { Clock } from "../../src/base/clock.ts";

interface Timer {
  readonly atMs: number;
  readonly action: () => void;
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Set<Timer>();

  nowNs(): bigint {
    return 1_700_000_000_000_000_000n + BigInt(Math.round(this.#nowMs * 1e6));
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const aborted = () => {
        timer[Symbol.dispose]();
        reject(signal?.reason);
      };
      const timer = this.after(ms, () => {
        signal?.removeEventListener("abort", aborted);
        resolve();
      });
      signal?.addEventListener("abort", aborted, { once: true });
    });
  }

  after(ms: number, action: () => void): Disposable {
    const timer = { atMs: this.#nowMs + ms, action };
    this.#timers.add(timer);
    return { [Symbol.dispose]: () => void this.#timers.delete(timer) };
  }

  /** Lets time pass until `work` is done. */
  async run<Result>(work: Promise<Result>): Promise<Result> {
    const state = { done: false };
    const finished = () => void (state.done = true);
    work.then(finished, finished);
    for (;;) {
      await setImmediate();
      if (state.done) return work;
      const next = [...this.#timers].sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) continue;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.action();
    }
  }
}
