/**
 * Whether this is still the arbiter whose log names the packs in the store. A restored or promoted one may lack roots and
 * packs, so newer work would look like garbage: nothing is collected until an operator accepts it.
 */
import type { Arbiter } from "../../arbiter/arbiter.ts";
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import { describeError, type Log } from "../../base/log.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { ROOTS_HINT } from "../roots/root-alarm.ts";
import { PAST_OBJECT } from "./pack-objects.ts";

export interface AcceptedPastOptions {
  readonly arbiter: Pick<Arbiter, "incarnation" | "address">;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly log: Log;
}

const LOOK_MS = 5_000;

export class AcceptedPast implements Disposable {
  /** Called when the arbiter's incarnation has changed. */
  onNew: () => void = () => {};
  readonly #options: AcceptedPastOptions;
  #incarnation = "";
  #accepted: string | undefined;
  #current = new AbortController();
  #timer: Disposable | undefined;
  #ended = false;

  private constructor(options: AcceptedPastOptions) {
    this.#options = options;
  }

  /** Throws `arbiter_unreachable`, and the store's errors. */
  static async open(options: AcceptedPastOptions): Promise<AcceptedPast> {
    const past = new AcceptedPast(options);
    past.#incarnation = await options.arbiter.incarnation();
    // A new store belongs to the first arbiter.
    await options.store.putNew(PAST_OBJECT, [Buffer.from(past.#incarnation)]);
    past.#accepted = await past.#read();
    past.#lookLater();
    return past;
  }

  get incarnation(): string {
    return this.#incarnation;
  }

  get isAccepted(): boolean {
    return this.#accepted === this.#incarnation;
  }

  /**
   * The signal is aborted, with `root_rolled_back`, once the arbiter is found to be another one, or to have gone back.
   * Throws `root_rolled_back` if that is so already, and as `open`.
   */
  async demand(): Promise<AbortSignal> {
    await this.check();
    if (!this.isAccepted) throw pastChanged(this.#options.arbiter.address);
    return this.#current.signal;
  }

  /** Takes the arbiter as it is. Throws as `open`. */
  async accept(): Promise<void> {
    const { store } = this.#options;
    const there = await store.get(PAST_OBJECT);
    if (there !== undefined) await store.putIfMatch(PAST_OBJECT, [Buffer.from(this.#incarnation)], there.token);
    this.#accepted = await this.#read();
  }

  /** Reads the arbiter's and the store's incarnation again. Throws as `open`. */
  async check(): Promise<void> {
    const incarnation = await this.#options.arbiter.incarnation();
    this.#accepted = await this.#read();
    if (incarnation === this.#incarnation) return;
    this.#incarnation = incarnation;
    const { log, arbiter } = this.#options;
    log.error("the arbiter was restored or replaced: nothing is collected until it is accepted", {
      arbiter: arbiter.address,
    });
    this.#end();
    this.onNew();
  }

  /** As `check`, but reads the store only if the arbiter changed. */
  async look(): Promise<void> {
    if ((await this.#options.arbiter.incarnation()) !== this.#incarnation) await this.check();
  }

  /**
   * Records in the store that the arbiter lost packs although its incarnation is the same. Throws as `open`; then it must be
   * found again.
   */
  async refuse(): Promise<void> {
    this.#accepted = undefined;
    this.#end();
    const { store } = this.#options;
    const there = await store.get(PAST_OBJECT);
    if (there === undefined) return;
    const { kind } = await store.putIfMatch(PAST_OBJECT, [Buffer.from("went back")], there.token);
    if (kind !== "stored") throw new SynclineError("store_unreachable", `${store.address} did not confirm a change.`);
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#timer?.[Symbol.dispose]();
  }

  #end(): void {
    this.#current.abort(pastChanged(this.#options.arbiter.address));
    this.#current = new AbortController();
  }

  async #read(): Promise<string | undefined> {
    const there = await this.#options.store.get(PAST_OBJECT);
    return there && Buffer.from(there.bytes).toString("utf8");
  }

  #lookLater(): void {
    if (this.#ended) return;
    this.#timer = this.#options.clock.after(LOOK_MS, () => {
      void this.look()
        .catch((error: unknown) =>
          this.#options.log.warn("cannot look at the arbiter", { error: describeError(error) }),
        )
        .then(() => this.#lookLater());
    });
  }
}

function pastChanged(address: string): SynclineError {
  return new SynclineError(
    "root_rolled_back",
    `${address} is not the arbiter that it was: it was restored or replaced. Nothing is collected.`,
    { hint: ROOTS_HINT },
  );
}
