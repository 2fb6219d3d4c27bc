/** A counted resource (bytes of memory, slots) that those who need it wait for in line. */

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

  /** How many wait. */
  get waiting(): number {
    return this.#line.size;
  }

  /** Takes `amount` if it is free and nobody waits. More than there is at all counts as all. */
  tryTake(amount: number): boolean {
    if (this.#line.size > 0 || !this.#fits(amount)) return false;
    this.#used += this.#bounded(amount);
    return true;
  }

  /** Takes `amount` once it is free and those before have theirs. Rejects with the signal's reason, having taken nothing. */
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

  /** As `take`, until it is disposed. */
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
