/**
 * How the attempts of one publication avoid other writers: in a line with them where the bucket has one, else by waiting
 * longer each time. A turn is kept until the publication ends, or its swap gets no answer.
 */
import type { Clock } from "../../base/clock.ts";
import { BACKOFF_FIRST_MS, BACKOFF_GROWTH, BACKOFF_MAX_MS } from "../../base/limits.ts";
import type { Random } from "../../base/random.ts";
import type { Root } from "../../roots/root-store.ts";
import type { BucketRemote, BucketTurn } from "../remote.ts";

/** With this many commits of others since our base, others publish constantly and would be faster again. */
export const BUSY_COMMITS = 2;

export class Backoff implements Disposable {
  readonly #remote: Pick<BucketRemote, "takeTurn">;
  readonly #clock: Clock;
  readonly #random: Random;
  #turn: BucketTurn | undefined;
  #root: Root | undefined;
  #inVain = false;
  #waited = false;
  /** How long the last attempt took. */
  #attemptMs = 0;

  constructor(remote: Pick<BucketRemote, "takeTurn">, clock: Clock, random: Random) {
    this.#remote = remote;
    this.#clock = clock;
    this.#random = random;
  }

  /** Whether others were in this publication's line. */
  get waited(): boolean {
    return this.#waited;
  }

  /** Waits for a turn; false: there is no line, or it does not move. Then this publication does not wait in it again. */
  async takeTurn(): Promise<boolean> {
    if (this.#turn === undefined && !this.#inVain) {
      this.#turn = await this.#remote.takeTurn?.();
      this.#inVain = this.#turn === undefined;
      this.#waited ||= this.#turn?.waited ?? false;
      this.#root = this.#turn?.root;
    }
    return this.#turn !== undefined;
  }

  /** The root that came with the turn: once, since it ages. */
  takeRoot(): Root | undefined {
    const root = this.#root;
    this.#root = undefined;
    return root;
  }

  /** Waits before retrying after a lost attempt. */
  async again(attempt: number): Promise<void> {
    if (!(await this.takeTurn())) await this.backOff(attempt);
  }

  note(attemptMs: number): void {
    this.#attemptMs = attemptMs;
  }

  /**
   * Waits as long as an attempt takes here, doubled each time, half of it at random: racing writers separate without
   * leaving the bucket idle. Gives up the turn meanwhile.
   */
  backOff(attempt: number): Promise<void> {
    this[Symbol.dispose]();
    const unit = Math.min(Math.max(this.#attemptMs, BACKOFF_FIRST_MS), BACKOFF_MAX_MS / BACKOFF_GROWTH);
    const ms = unit * Math.min(2 ** (attempt - 1), BACKOFF_GROWTH);
    return this.#clock.sleep(ms * (0.5 + this.#random.fraction() / 2));
  }

  [Symbol.dispose](): void {
    this.#turn?.[Symbol.dispose]();
    this.#turn = undefined;
  }
}
