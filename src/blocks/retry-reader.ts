/** Retries when the store does not answer, and once when a block is damaged: that may have happened in transit. */
import type { Clock } from "../base/clock.ts";
import { hasCode } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { BACKOFF_FIRST_MS, BACKOFF_MAX_MS, READ_ATTEMPTS } from "../base/limits.ts";
import type { Ports } from "../base/ports.ts";
import type { Random } from "../base/random.ts";
import type { BlockReader } from "./block-store.ts";

export interface RetryOptions extends Pick<Ports, "clock" | "random"> {
  /** Makes READ_ATTEMPTS, and as many more as fit into this time. */
  readonly patienceMs?: number | undefined;
  /** Makes `inner` forget what it read before: its memory may hold the damage. */
  readonly forget?: (() => void) | undefined;
  /** Told which blocks were requested when one came damaged again. */
  readonly doubt?: ((cids: readonly Cid[]) => Promise<void> | undefined) | undefined;
}

export class RetryReader implements BlockReader {
  readonly #inner: BlockReader;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #patienceMs: number;
  readonly #forget: () => void;
  readonly #doubt: RetryOptions["doubt"];

  constructor(inner: BlockReader, { clock, random, patienceMs = 0, forget = () => {}, doubt }: RetryOptions) {
    this.#inner = inner;
    this.#clock = clock;
    this.#random = random;
    this.#patienceMs = patienceMs;
    this.#forget = forget;
    this.#doubt = doubt;
  }

  get(cid: Cid): Promise<Uint8Array> {
    return this.#retrying([cid], () => this.#inner.get(cid));
  }

  getMany(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    return this.#retrying(cids, () => this.#inner.getMany(cids));
  }

  /** Doubling pauses, each random between half and all of its bound, so that readers do not retry in lockstep. */
  async #retrying<T>(cids: readonly Cid[], ask: () => Promise<T>): Promise<T> {
    const endMs = this.#clock.monotonicMs() + this.#patienceMs;
    for (let attempt = 1, damaged = 0; ; attempt++) {
      try {
        return await ask();
      } catch (error) {
        if (hasCode(error, "block_corrupt")) {
          if (damaged++ > 0) {
            await this.#doubt?.(cids);
            throw error;
          }
          this.#forget();
          continue;
        }
        const isLast = attempt >= READ_ATTEMPTS && this.#clock.monotonicMs() >= endMs;
        if (!hasCode(error, "store_unreachable") || isLast) throw error;
        const bound = Math.min(BACKOFF_FIRST_MS * 2 ** (attempt - 1), BACKOFF_MAX_MS);
        await this.#clock.sleep(bound * (0.5 + this.#random.fraction() / 2));
      }
    }
  }
}
