/**
 * The epoch that is sealed but not in the bucket yet: it goes first. If no swap of it may have been sent, it may be sealed
 * anew, with all later changes:
 *
 * - after others published. Otherwise, in a unit that the others changed too, only the epoch's part would lose the conflict,
 *   and the rest would mix with their files.
 * - after the bucket had no room for it. Otherwise deletions would wait behind what does not fit. Those that can are then
 *   published alone, and others' roots are adopted beneath the rest.
 */
import type { Cid } from "../../base/ids.ts";
import type { Units } from "../../format/commits/policy.ts";
import type { ChangeSet } from "../../fstree/change-set.ts";
import type { EncodedOutcome } from "./encoded-outcome.ts";

/** Codes of a bucket without room. Small changes often fit even then. */
const NO_ROOM: ReadonlySet<string> = new Set(["disk_full", "over_quota"]);

export interface HeldEpochOptions {
  readonly overlay: { readonly seal: (anew: boolean, removals?: Units) => Promise<ChangeSet | undefined> };
  /** The bucket's current root. */
  readonly root: () => Promise<Cid | undefined>;
  /** Whether there is one that an earlier run sealed. */
  readonly held: boolean;
}

export class HeldEpoch {
  readonly #options: HeldEpochOptions;
  #isHeld: boolean;
  /** An earlier run sealed it. */
  #isEarlier: boolean;
  /** A swap was or may have been sent, by this run or an earlier one; undefined: the journal tells. */
  #sent: boolean | undefined;
  #sentBefore = false;
  /** The bucket had no room for it. */
  #isTooLarge = false;

  constructor(options: HeldEpochOptions) {
    this.#options = options;
    this.#isHeld = options.held;
    this.#isEarlier = options.held;
    this.#sent = options.held ? undefined : false;
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** The epoch to publish next, if anything changed. */
  async seal(): Promise<ChangeSet | undefined> {
    const { overlay } = this.#options;
    const waited = this.#isHeld;
    let changes = await overlay.seal(false);
    if (changes === undefined) return undefined;
    // An earlier run noted each commit durably before it sent a swap.
    this.#sent ??= (changes.sent ?? []).length > 0;
    if (waited && !this.#sent && (await this.#isDueAnew(changes))) {
      const { epoch } = changes;
      changes = await overlay.seal(true);
      if (changes?.epoch !== epoch) this.#isEarlier = false;
    }
    this.#isHeld = true;
    this.#sentBefore = this.#sent;
    this.#isTooLarge = false;
    return changes;
  }

  /** Whether the bucket had no room for the epoch and cannot get it yet: it may be sealed anew. */
  get waitsForRoom(): boolean {
    return this.#isTooLarge && this.#sent === false;
  }

  /** What can be removed from a bucket without room, except in these units. Undefined: nothing, and the epoch waits. */
  async sealRemovals(units: Units): Promise<ChangeSet | undefined> {
    const changes = await this.#options.overlay.seal(true, units);
    if (changes === undefined) return undefined;
    this.#sentBefore = false;
    this.#isTooLarge = false;
    return changes;
  }

  /** An attempt begins. One before it, with the same epoch, may have ended in an error after it had sent a swap. */
  begun(): void {
    this.#sentBefore ||= this.#sent === true;
  }

  /** A swap may be sent from now on. */
  sending(): void {
    this.#sent = true;
  }

  /**
   * An attempt ended with this outcome, which tells whether it sent a swap. If it did not, and there is no room, its notes of
   * swaps are dropped: after a restart they would keep the epoch from being sealed anew.
   */
  async tried({ kind, figures, ...rest }: EncodedOutcome): Promise<void> {
    const isNoted = this.#sent === true;
    this.#sent = this.#sentBefore || kind === "published" || figures.attempts > 0;
    this.#isTooLarge = kind === "unreachable" && "cause" in rest && NO_ROOM.has(rest.cause.code);
    if (!this.waitsForRoom) return;
    // An epoch that the bucket has is found before anything is stored.
    this.#isEarlier = false;
    if (isNoted) await this.#options.overlay.seal(true);
  }

  published(): void {
    this.#isHeld = false;
    this.#isEarlier = false;
    this.#sent = false;
    this.#isTooLarge = false;
  }

  async #isDueAnew({ reference }: ChangeSet): Promise<boolean> {
    if (this.#isTooLarge) return true;
    // It may be that of a machine that was set back, which the bucket has: publishing it as it is finds out.
    if (this.#isEarlier) return false;
    const root = await this.#options.root();
    return root !== undefined && root !== reference;
  }
}
