/**
 * Tells the bucket which roots long unpublished changes are based on, so that collections retain those
 * (docs/design/retention.md) for the merge. Costs one request per start while changes are published at once.
 */
import { SerialQueue } from "../../base/concurrency.ts";
import type { Cid } from "../../base/ids.ts";
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import type { BucketRemote } from "../../bucket/remote.ts";
import type { BaseRoot } from "../../overlay/journal/journal-record.ts";

export interface HeldBaseOptions extends Pick<Ports, "clock" | "log"> {
  readonly remote: BucketRemote;
}

/**
 * Changes pending this long are reported to the bucket (docs/reference/formats.md, bases), well before their root may be
 * thinned.
 */
const HOLD_AFTER_MS = 5 * 60 * 1000;
/** How old the note may become: it protects for BASES_LIFE_MS, also if the machine is off for months. */
const RENEW_MS = 7 * 24 * 60 * 60 * 1000;
/** How often its age is looked at. Timers stand still while a machine sleeps, and its clock may be set. */
const LOOK_MS = 60 * 60 * 1000;

export class HeldBase implements Disposable {
  readonly #options: HeldBaseOptions;
  readonly #queue = new SerialQueue();
  #standing: readonly BaseRoot[] = [];
  /** Whether the bucket may have a note. At the start, an earlier run may have left one. */
  #written = true;
  #noted: { readonly commits: readonly Cid[]; readonly atNs: bigint } | undefined;
  #timer: Disposable | undefined;
  /** Whether the last request failed: that is logged once. */
  #isAway = false;
  /** Whether the timer only looks at the note's age. */
  #isLooking = false;

  constructor(options: HeldBaseOptions) {
    this.#options = options;
  }

  /** Unpublished changes, if there are any, are based on these roots until `leave`. */
  stand(bases: readonly BaseRoot[]): void {
    this.#standing = bases;
    if (this.#options.remote.holdBases === undefined) return;
    const isOther = this.#isLooking && !this.#isNoted(bases);
    if (this.#timer === undefined || isOther) this.#arm(HOLD_AFTER_MS);
  }

  /** The writer has a new device: the note of the old one is another agent's. */
  replaced(): void {
    void this.#queue.run(async () => {
      this.#written = false;
      this.#noted = undefined;
      if (this.#isLooking) this.#arm(HOLD_AFTER_MS);
    });
  }

  /** Everything is published. */
  leave(): void {
    this.#standing = [];
    this.#disarm();
    // Queued, since a write that has begun may finish only then.
    void this.#queue.run(async () => {
      if (this.#written && this.#standing.length === 0) await this.#write([]);
    });
  }

  /** A written base stays: unpublished changes continue at the next start. */
  [Symbol.dispose](): void {
    this.#disarm();
  }

  #arm(ms: number): void {
    this.#disarm();
    this.#isLooking = ms === LOOK_MS;
    this.#timer = this.#options.clock.after(ms, () => {
      this.#timer = undefined;
      void this.#queue.run(() => this.#look());
    });
  }

  #disarm(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  async #look(): Promise<void> {
    const bases = this.#standing;
    if (bases.length === 0) return;
    const isNoted = this.#isFresh(bases) || (await this.#write(bases));
    // Another change may have armed it meanwhile.
    if (this.#standing.length > 0 && this.#timer === undefined) this.#arm(isNoted ? LOOK_MS : HOLD_AFTER_MS);
  }

  #isNoted(bases: readonly BaseRoot[]): boolean {
    const { commits } = this.#noted ?? {};
    return commits?.length === bases.length && bases.every(({ commit }, at) => commit === commits[at]);
  }

  #isFresh(bases: readonly BaseRoot[]): boolean {
    if (this.#noted === undefined || !this.#isNoted(bases)) return false;
    const ageMs = Number((this.#options.clock.nowNs() - this.#noted.atNs) / 1_000_000n);
    return Math.abs(ageMs) < RENEW_MS;
  }

  /** Whether it succeeded: the bucket may be out of reach. */
  async #write(bases: readonly BaseRoot[]): Promise<boolean> {
    const { remote, clock, log } = this.#options;
    try {
      // Each swap makes one commit, so seq and version are equal.
      await remote.holdBases?.(bases.map(({ commit, seq }) => ({ commit, version: seq })));
      this.#written = bases.length > 0;
      this.#noted = { commits: bases.map(({ commit }) => commit), atNs: clock.nowNs() };
      this.#isAway = false;
      return true;
    } catch (error) {
      const what =
        bases.length === 0
          ? "release the base of changes that are published"
          : "record the base of unpublished changes";
      if (!this.#isAway) log.info(`Could not ${what}: ${describeError(error)}`);
      this.#isAway = true;
      return false;
    }
  }
}
