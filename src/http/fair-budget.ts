/**
 * A resource that callers share (bytes of memory, slots). Together they stay below a total, and each below its share, so
 * that a slow client delays only itself. Callers wait if none is left. Masters count bytes: if they counted requests, sixteen
 * slow ones could stop an owner.
 *
 * To avoid deadlock, a call that holds memory returns it before it waits for more (`tryTake` first).
 */
import { Budget } from "../base/budget.ts";

export class FairBudget {
  readonly #total: Budget;
  readonly #share: number;
  readonly #owners = new Map<string, Budget>();

  constructor(total: number, share: number) {
    this.#total = new Budget(total);
    this.#share = share;
  }

  get used(): number {
    return this.#total.used;
  }

  get waiting(): number {
    return [...this.#owners.values()].reduce((sum, { waiting }) => sum + waiting, this.#total.waiting);
  }

  /** Callers that hold or want some; others cost nothing. */
  get owners(): number {
    return this.#owners.size;
  }

  /** Whether others wait for what this owner holds. */
  isWanted(owner: string): boolean {
    return this.#total.waiting > 0 || (this.#owners.get(owner)?.waiting ?? 0) > 0;
  }

  tryTake(owner: string, amount: number): boolean {
    const share = this.#shareOf(owner);
    const got = share.tryTake(amount);
    if (got && this.#total.tryTake(amount)) return true;
    if (got) share.give(amount);
    this.#forget(owner, share);
    return false;
  }

  /** Rejects with the signal's reason. */
  async take(owner: string, amount: number, signal: AbortSignal): Promise<void> {
    const share = this.#shareOf(owner);
    try {
      await share.take(amount, signal);
      try {
        await this.#total.take(amount, signal);
      } catch (cause) {
        share.give(amount);
        throw cause;
      }
    } catch (cause) {
      this.#forget(owner, share);
      throw cause;
    }
  }

  /** As `take`; disposing the result returns it. */
  async hold(owner: string, amount: number, signal: AbortSignal): Promise<Disposable> {
    await this.take(owner, amount, signal);
    return { [Symbol.dispose]: () => this.give(owner, amount) };
  }

  give(owner: string, amount: number): void {
    this.#total.give(amount);
    const share = this.#shareOf(owner);
    share.give(amount);
    this.#forget(owner, share);
  }

  #shareOf(owner: string): Budget {
    let share = this.#owners.get(owner);
    if (share === undefined) this.#owners.set(owner, (share = new Budget(this.#share)));
    return share;
  }

  #forget(owner: string, share: Budget): void {
    if (share.used === 0 && share.waiting === 0 && this.#owners.get(owner) === share) this.#owners.delete(owner);
  }
}
