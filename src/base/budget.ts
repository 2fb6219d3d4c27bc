/** A counted resource (bytes of memory, slots); takers wait for it in line. */

export class Budget {
  readonly #capacity: number;
  #used = 0;
  readonly #line = new Set<Waiting>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get used(): number {
    return this.#used;
  }

  get waiting(): number {
    return this.#line.size;
  }

  /** Takes `amount` if it is free and nothing waits. An amount above the total counts as the total. */
  tryTake(amount: number): boolean {
    if (this.#line.size > 0 || !this.#fits(amount)) return false;
    this.#used += this.#bounded(amount);
    return true;
  }

  /** Takes `amount` once it is free and earlier waiters have theirs. Rejects with the signal's reason, taking nothing. */
  async take(amount: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.tryTake(amount)) return;
    const waiting: Waiting = { amount, granted: Promise.withResolvers<void>() };
    const leave = () => {
      if (!this.#line.delete(waiting)) return;
      waiting.granted.reject(signal?.reason);
      this.#serve();
    };
    this.#line.add(waiting);
    signal?.addEventListener("abort", leave, { once: true });
    try {
      await waiting.granted.promise;
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }

  /** As `take`; disposing the result gives the amount back. */
  async hold(amount: number, signal?: AbortSignal): Promise<Disposable> {
    await this.take(amount, signal);
    return { [Symbol.dispose]: () => this.give(amount) };
  }

  /** Gives back what was taken. */
  give(amount: number): void {
    this.#used -= this.#bounded(amount);
    this.#serve();
  }

  #serve(): void {
    for (const waiting of this.#line) {
      if (!this.#fits(waiting.amount)) return;
      this.#line.delete(waiting);
      this.#used += this.#bounded(waiting.amount);
      waiting.granted.resolve();
    }
  }

  #fits(amount: number): boolean {
    return this.#used + this.#bounded(amount) <= this.#capacity;
  }

  #bounded(amount: number): number {
    return Math.min(amount, this.#capacity);
  }
}

interface Waiting {
  readonly amount: number;
  readonly granted: PromiseWithResolvers<void>;
}
