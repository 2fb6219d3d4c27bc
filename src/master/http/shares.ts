/**
 * Memory for bodies: all callers together stay below a total, and each below a share of it, so that one who sends or reads slowly
 * holds up only himself. Who finds none left waits; nobody is refused.
 *
 * To keep waiting from becoming a deadlock, a call that holds memory gives it back before it waits for more (`tryTake` first).
 */
import { Budget } from "../../base/budget.ts";

export class Shares {
  readonly #total: Budget;
  readonly #shareBytes: number;
  readonly #owners = new Map<string, Budget>();

  constructor(totalBytes: number, shareBytes: number) {
    this.#total = new Budget(totalBytes);
    this.#shareBytes = shareBytes;
  }

  get usedBytes(): number {
    return this.#total.used;
  }

  /** Callers that have or want some; the others cost nothing. */
  get owners(): number {
    return this.#owners.size;
  }

  tryTake(owner: string, bytes: number): boolean {
    const share = this.#shareOf(owner);
    const got = share.tryTake(bytes);
    if (got && this.#total.tryTake(bytes)) return true;
    if (got) share.give(bytes);
    this.#forget(owner, share);
    return false;
  }

  /** Rejects with the signal's reason. */
  async take(owner: string, bytes: number, signal: AbortSignal): Promise<void> {
    const share = this.#shareOf(owner);
    try {
      await share.take(bytes, signal);
      try {
        await this.#total.take(bytes, signal);
      } catch (cause) {
        share.give(bytes);
        throw cause;
      }
    } catch (cause) {
      this.#forget(owner, share);
      throw cause;
    }
  }

  give(owner: string, bytes: number): void {
    this.#total.give(bytes);
    const share = this.#shareOf(owner);
    share.give(bytes);
    this.#forget(owner, share);
  }

  #shareOf(owner: string): Budget {
    let share = this.#owners.get(owner);
    if (share === undefined) this.#owners.set(owner, (share = new Budget(this.#shareBytes)));
    return share;
  }

  #forget(owner: string, share: Budget): void {
    if (share.used === 0 && share.waiting === 0 && this.#owners.get(owner) === share) this.#owners.delete(owner);
  }
}
