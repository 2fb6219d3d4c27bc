/**
 * Tells the bucket which root long unpublished changes are based on, so that collections retain that root
 * (docs/design/retention.md) for the merge. Costs nothing while changes are published at once.
 */
import type { Clock } from "../../base/clock.ts";
import { SerialQueue } from "../../base/concurrency.ts";
import { describeError, type Log } from "../../base/log.ts";
import type { BucketRemote } from "../../bucket/remote.ts";
import type { BaseRoot } from "../../overlay/journal/journal-record.ts";

export interface HeldBaseOptions {
  readonly remote: BucketRemote;
  /** Whether an earlier run of this agent may have written a base. */
  readonly written: boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Changes pending this long are reported to the bucket (docs/reference/formats.md, bases), well before their root may be
 * thinned.
 */
const HOLD_AFTER_MS = 5 * 60 * 1000;

export class HeldBase implements Disposable {
  readonly #options: HeldBaseOptions;
  readonly #queue = new SerialQueue();
  #standing: BaseRoot | undefined;
  #written: boolean;
  #timer: Disposable | undefined;

  constructor(options: HeldBaseOptions) {
    this.#options = options;
    this.#written = options.written;
  }

  /** Unpublished changes are based on this root until `leave`. */
  stand(base: BaseRoot): void {
    if (this.#standing !== undefined) return;
    this.#standing = base;
    this.#arm();
  }

  /** Everything is published. */
  leave(): void {
    this.#standing = undefined;
    this.#timer?.[Symbol.dispose]();
    // Queued, since a write that has begun may finish only then.
    void this.#queue.run(async () => {
      if (this.#written && this.#standing === undefined) await this.#write(undefined);
    });
  }

  /** A written base stays: unpublished changes continue at the next start. */
  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #arm(): void {
    this.#timer = this.#options.clock.after(HOLD_AFTER_MS, () => {
      void this.#queue.run(async () => {
        const base = this.#standing;
        if (base !== undefined && !(await this.#write(base))) this.#arm();
      });
    });
  }

  /** Whether it succeeded: the bucket may be out of reach. */
  async #write(base: BaseRoot | undefined): Promise<boolean> {
    const { remote, log } = this.#options;
    try {
      // Each swap makes one commit, so seq and version are equal.
      await remote.holdBase?.(base && { commit: base.commit, version: base.seq });
      this.#written = base !== undefined;
      return true;
    } catch (error) {
      log.info(`Could not record the base of the unpublished changes: ${describeError(error)}`);
      return false;
    }
  }
}
