/**
 * Whether this is still the arbiter whose log names the packs in the store. A restored or promoted one may lack roots and
 * packs, so newer work would look like garbage: nothing is collected until an operator accepts it.
 *
 * A copy of its disk that is put back does not show by itself. So the arbiter counts beats, and the store is told of each
 * one afterwards: an arbiter that has not counted as far as the store says went back. A store that tells less than it did
 * went back, too, and lacks packs: the arbiter then changes its incarnation.
 *
 * Only the accepted arbiter tells the store. So a copy of it that is served beside it does not disturb it, and cannot be
 * accepted while it counts.
 */
import type { Arbiter } from "../../arbiter/arbiter.ts";
import { SynclineError } from "../../base/errors.ts";
import { LastingTrouble } from "../../base/lasting-trouble.ts";
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import { type ObjectStore, putOver } from "../../objects/object-store.ts";
import { rootsHint } from "../roots/root-alarm.ts";
import { BEATS_OBJECT, PAST_OBJECT } from "./pack-objects.ts";

export interface AcceptedPastOptions extends Pick<Ports, "clock" | "log"> {
  readonly arbiter: Pick<Arbiter, "incarnation" | "changeIncarnation" | "beat" | "store" | "address">;
  readonly store: ObjectStore;
}

const LOOK_MS = 5_000;
/** Each beat is a PUT. What is lost between two beats may go unnoticed. */
const BEAT_MS = 60_000;
/** An arbiter that has not counted for so long is not served any more. */
const SILENT_MS = 5 * BEAT_MS;

export class AcceptedPast implements Disposable {
  /** Called when the arbiter's incarnation has changed. */
  onNew: () => void = () => {};
  /** Called when another arbiter was accepted, although this one has not changed. */
  onDisplaced: () => void = () => {};
  readonly #options: AcceptedPastOptions;
  #incarnation = "";
  #accepted: string | undefined;
  #current = new AbortController();
  /** Keyed by interval. */
  readonly #timers = new Map<number, Disposable>();
  #ended = false;

  private constructor(options: AcceptedPastOptions) {
    this.#options = options;
  }

  /** Throws `arbiter_unreachable`, and the store's errors. */
  static async open(options: AcceptedPastOptions): Promise<AcceptedPast> {
    const past = new AcceptedPast(options);
    past.#incarnation = await options.arbiter.incarnation();
    await past.#claim();
    await past.check();
    past.#every(LOOK_MS, () => past.look());
    past.#every(BEAT_MS, () => past.check());
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
    if (!this.isAccepted) throw this.#pastChanged();
    return this.#current.signal;
  }

  /** Takes the arbiter as it is. Throws as `open` and `requireSilence`. */
  async accept(): Promise<void> {
    const { store, arbiter } = this.#options;
    if (this.isAccepted) return;
    await this.requireSilence();
    // If it has not counted as far as the store tells, this changes its incarnation.
    await this.#count();
    this.#incarnation = await arbiter.incarnation();
    const there = await store.get(PAST_OBJECT);
    if (there !== undefined) await store.putIfMatch(PAST_OBJECT, [Buffer.from(this.#incarnation)], there.token);
    await this.check();
  }

  /** Throws `state_in_use` if another arbiter than this one is accepted, and its masters may be running. */
  async requireSilence(): Promise<void> {
    const { store } = this.#options;
    if (this.isAccepted) return;
    const [last, nowMs] = [await store.head(BEATS_OBJECT), await store.now()];
    if (last === undefined || nowMs === undefined || nowMs - last.modifiedMs >= SILENT_MS) return;
    // It may be this one's by now: another of its masters was faster.
    this.#accepted = await this.#read();
    if (this.isAccepted) return;
    const message = `Masters of another arbiter used ${store.address} within the last five minutes.`;
    throw new SynclineError("state_in_use", message, {
      hint: "If this arbiter takes the place of that one: make sure that no master uses that one, wait five minutes, and start again. To try a backup out, use a copy of the store.",
    });
  }

  /** Reads what is accepted, and beats, which shows whether the arbiter or the store went back. Throws as `open`. */
  async check(): Promise<void> {
    const [before, wasAccepted] = [this.#incarnation, this.isAccepted];
    this.#accepted = await this.#read();
    try {
      await this.look();
      await this.#beat();
    } finally {
      if (wasAccepted && !this.isAccepted && this.#incarnation === before) this.#displaced();
    }
  }

  /** Whether the arbiter's incarnation has changed. Throws `arbiter_unreachable`. */
  async look(): Promise<void> {
    const { log, arbiter } = this.#options;
    const incarnation = await arbiter.incarnation();
    if (incarnation === this.#incarnation) return;
    this.#incarnation = incarnation;
    log.error("the arbiter or the store was restored or replaced: nothing is collected until it is accepted", {
      arbiter: arbiter.address,
    });
    this.#end();
    this.onNew();
  }

  /**
   * The arbiter lacks what it had. Its incarnation changes, by which all masters learn of it. Throws `arbiter_unreachable`;
   * then it must be found again.
   */
  async refuse(): Promise<void> {
    await this.#options.arbiter.changeIncarnation(this.#incarnation);
    await this.look();
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    for (const timer of this.#timers.values()) timer[Symbol.dispose]();
  }

  /** A new store belongs to the first arbiter. Read first, since some S3 servers ignore If-None-Match and would overwrite. */
  async #claim(): Promise<void> {
    if ((await this.#read()) !== undefined) return;
    await this.#options.store.putNew(PAST_OBJECT, [Buffer.from(this.#incarnation)]);
  }

  async #beat(): Promise<void> {
    const { store, log } = this.#options;
    const counted = await this.#count(this.isAccepted);
    await this.look();
    if (counted === undefined || !this.isAccepted) return;
    // If this is refused, another master was faster, and its number will do.
    await putOver(store, BEATS_OBJECT, [Buffer.from(String(counted.count))], counted.token).catch((error: unknown) => {
      // The next beat tells a higher number.
      log.warn("cannot tell the store how far the arbiter counted", { error: describeError(error) });
    });
  }

  /** Has the arbiter count, `always`, or only if the store went back. `token`: of the number that the store tells now. */
  async #count(always = true): Promise<{ count: number; token: string | undefined } | undefined> {
    const { store, arbiter, log } = this.#options;
    // Each is read before the next: later, a number may be from another master's beat.
    const { told: before } = await arbiter.store();
    const there = await store.get(BEATS_OBJECT);
    // The store's disk may have gone away, which is found out here.
    if (there === undefined) await this.#read();
    const told = there === undefined ? 0 : (countIn(there.bytes) ?? before);
    if (told < before) {
      const message =
        "the store was set back to an older state and may lack packs: run `syncline verify --repair` on all buckets";
      log.error(message, { store: store.address });
    } else if (!always) return undefined;
    return { count: await arbiter.beat(told, before), token: there?.token };
  }

  #displaced(): void {
    const { log, store } = this.#options;
    const message =
      "another arbiter was accepted for the store: nothing is collected; stop its masters, then restart these with --accept-roots";
    log.error(message, { store: store.address });
    this.#end();
    this.onDisplaced();
  }

  /** Ends running collections. */
  #end(): void {
    this.#current.abort(this.#pastChanged());
    this.#current = new AbortController();
  }

  async #read(): Promise<string | undefined> {
    const there = await this.#options.store.get(PAST_OBJECT);
    return there && Buffer.from(there.bytes).toString("utf8");
  }

  /** Does not name the arbiter: owners of buckets see this. */
  #pastChanged(): SynclineError {
    const message = "The master's arbiter or store was restored or replaced. Nothing is collected.";
    return new SynclineError("root_rolled_back", message, { hint: rootsHint(this.#options.arbiter.address) });
  }

  #every(ms: number, work: () => Promise<void>, trouble?: LastingTrouble): void {
    if (this.#ended) return;
    const { clock, log } = this.#options;
    trouble ??= new LastingTrouble("cannot look at the arbiter", clock, log);
    const timer = clock.after(ms, () => void trouble.watch(work).then(() => this.#every(ms, work, trouble)));
    this.#timers.set(ms, timer);
  }
}

/** Undefined if the text is not a number. */
function countIn(bytes: Uint8Array): number | undefined {
  const text = Buffer.from(bytes).toString("utf8");
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
