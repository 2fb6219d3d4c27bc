/**
 * Whether this is still the arbiter whose log names the packs in the store. A restored or promoted one may lack roots and
 * packs, so newer work would look like garbage: nothing is collected until an operator accepts it.
 */
import type { Arbiter } from "../../arbiter/arbiter.ts";
import type { Clock } from "../../base/clock.ts";
import { describeError, type Log } from "../../base/log.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { PAST_OBJECT } from "./pack-objects.ts";

export interface AcceptedPastOptions {
  readonly arbiter: Pick<Arbiter, "incarnation" | "address">;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly log: Log;
  /** Takes the arbiter as it is. */
  readonly accept: boolean;
}

const LOOK_MS = 5_000;

export class AcceptedPast implements Disposable {
  /** Called when the arbiter's incarnation has changed. */
  onNew: () => void = () => {};
  readonly #options: AcceptedPastOptions;
  #incarnation = "";
  #accepted: string | undefined;
  #timer: Disposable | undefined;
  #ended = false;

  private constructor(options: AcceptedPastOptions) {
    this.#options = options;
  }

  /** Throws `arbiter_unreachable`, and the store's errors. */
  static async open(options: AcceptedPastOptions): Promise<AcceptedPast> {
    const past = new AcceptedPast(options);
    past.#incarnation = await options.arbiter.incarnation();
    await past.#settle();
    past.#lookLater();
    return past;
  }

  get incarnation(): string {
    return this.#incarnation;
  }

  get isAccepted(): boolean {
    return this.#accepted === this.#incarnation;
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
    this.onNew();
  }

  /** As `check`, but reads the store only if the arbiter changed. */
  async look(): Promise<void> {
    if ((await this.#options.arbiter.incarnation()) !== this.#incarnation) await this.check();
  }

  /** Records in the store that the arbiter lost packs although its incarnation is the same, so that a restart remembers it. */
  async refuse(): Promise<void> {
    this.#accepted = undefined;
    const { store, log } = this.#options;
    try {
      const there = await store.get(PAST_OBJECT);
      if (there !== undefined) await store.putIfMatch(PAST_OBJECT, [Buffer.from("went back")], there.token);
    } catch (error) {
      log.error("could not record that the arbiter went back", { error: describeError(error) });
    }
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#timer?.[Symbol.dispose]();
  }

  async #settle(): Promise<void> {
    const { store, accept } = this.#options;
    const body = [Buffer.from(this.#incarnation)];
    // A new store belongs to the first arbiter.
    await store.putNew(PAST_OBJECT, body);
    const there = await store.get(PAST_OBJECT);
    this.#accepted = there && Buffer.from(there.bytes).toString("utf8");
    if (this.isAccepted || !accept || there === undefined) return;
    await store.putIfMatch(PAST_OBJECT, body, there.token);
    this.#accepted = await this.#read();
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
