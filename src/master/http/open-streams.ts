/** Ends endless answers when the master stops, and when their bearer expires or is revoked. */
import type { Clock } from "../../base/clock.ts";
import type { Bearer } from "./bearers.ts";

export class OpenStreams {
  readonly #clock: Clock;
  readonly #open = new Set<{ readonly digest: string | undefined; readonly end: () => void }>();
  #stopping = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether the master is about to stop. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** Calls `end` when the answer must end. The returned function cancels that. */
  register(bearer: Bearer | undefined, end: () => void): () => void {
    const entry = { digest: bearer?.digest, end };
    this.#open.add(entry);
    let timer: Disposable | undefined;
    const endAt = (expMs: number) => {
      const leftMs = Math.max(0, expMs - Number(this.#clock.nowNs() / 1_000_000n));
      const next = leftMs > MAX_TIMER_MS ? () => endAt(expMs) : end;
      timer = this.#clock.after(Math.min(leftMs, MAX_TIMER_MS), next);
    };
    if (bearer !== undefined) endAt(bearer.exp * 1000);
    if (this.#stopping) end();
    return () => {
      this.#open.delete(entry);
      timer?.[Symbol.dispose]();
    };
  }

  revoked(digest: string): void {
    for (const entry of this.#open) if (entry.digest === digest) entry.end();
  }

  stop(): void {
    this.#stopping = true;
    for (const { end } of this.#open) end();
  }
}

/** The longest timer: 24.8 days. Session tokens may live longer. */
const MAX_TIMER_MS = 2 ** 31 - 1;
