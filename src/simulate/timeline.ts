/** Simulated time that passes only while all work waits for it: hours pass in moments, in a reproducible order. */
import type { Clock } from "../base/clock.ts";
import { nextTurn } from "../base/concurrency.ts";
import { SynclineError } from "../base/errors.ts";

interface Event {
  readonly atMs: number;
  /** Events due at one time run in the order of their requests. */
  readonly order: number;
  action: (() => void) | undefined;
}

export class Timeline implements Clock {
  #nowMs = 0;
  #skippedMs = 0;
  #asked = 0;
  /** A binary heap. */
  readonly #events: Event[] = [];

  nowNs(): bigint {
    return EPOCH_NS + BigInt(Math.round((this.#nowMs + this.#skippedMs) * 1e6));
  }

  /** Lets time pass without running anything. */
  skip(ms: number): void {
    this.#skippedMs += ms;
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
    const event: Event = { atMs: this.#nowMs + ms, order: this.#asked++, action };
    this.#push(event);
    return { [Symbol.dispose]: () => void (event.action = undefined) };
  }

  /** Lets time pass until `work` is done. Throws `internal` if it waits for something that never comes. */
  async run<Result>(work: Promise<Result>): Promise<Result> {
    const state = { done: false };
    const finished = () => void (state.done = true);
    work.then(finished, finished);
    for (let idle = 0; ;) {
      await nextTurn();
      if (state.done) return work;
      const next = this.#pop();
      if (next === undefined && ++idle === MOST_IDLE_TURNS) throw stuck();
      if (next === undefined) continue;
      idle = 0;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.action?.();
    }
  }

  #push(event: Event): void {
    const events = this.#events;
    let at = events.push(event) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = events[above];
      if (parent === undefined || isBefore(parent, event)) break;
      events[at] = parent;
      at = above;
    }
    events[at] = event;
  }

  /** The next event that was not canceled. */
  #pop(): Event | undefined {
    for (;;) {
      const first = this.#events[0];
      const last = this.#events.pop();
      if (first === undefined || last === undefined) return undefined;
      if (this.#events.length > 0) this.#sink(last);
      if (first.action !== undefined) return first;
    }
  }

  #sink(event: Event): void {
    const events = this.#events;
    let at = 0;
    for (;;) {
      const [left, right] = [events[2 * at + 1], events[2 * at + 2]];
      const isRight = left !== undefined && right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (child === undefined || isBefore(event, child)) break;
      events[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    events[at] = event;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

function stuck(): SynclineError {
  return new SynclineError("internal", "The simulation is deadlocked: everything in it waits.");
}

/** The time at which simulations begin: 2023-11-14. */
const EPOCH_NS = 1_700_000_000_000_000_000n;
/** Turns of the event loop that work may take without asking for time. */
const MOST_IDLE_TURNS = 1_000;
