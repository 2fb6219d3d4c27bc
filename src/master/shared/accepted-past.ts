/**
 * Whether this is still the arbiter whose log names the packs in the store. A restored or promoted one may lack roots and
 * packs, so newer work would look like garbage: nothing is collected until an operator accepts it.
 *
 * A copy of its disk that is put back does not show by itself. So the arbiter counts beats, and the store is told of each
 * one afterwards: an arbiter that has not counted as far as the store says went back.
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
  readonly arbiter: Pick<Arbiter, "incarnation" | "changeIncarnation" | "beat" | "address">;
  readonly store: ObjectStore;
}

const LOOK_MS = 5_000;
/** Each beat is a PUT. What is lost between two beats may go unnoticed. */
const BEAT_MS = 60_000;

export class AcceptedPast implements Disposable {
  /** Called when the arbiter's incarnation has changed. */
  onNew: () => void = () => {};
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

  /** Takes the arbiter as it is. Throws as `open`. */
  async accept(): Promise<void> {
    const { store } = this.#options;
    const there = await store.get(PAST_OBJECT);
    if (there !== undefined) await store.putIfMatch(PAST_OBJECT, [Buffer.from(this.#incarnation)], there.token);
    this.#accepted = await this.#read();
  }

  /** Reads what is accepted, and beats, which shows whether the arbiter went back. Throws as `open`. */
  async check(): Promise<void> {
    this.#accepted = await this.#read();
    await this.#beat();
    await this.look();
  }

  /** Whether the arbiter's incarnation has changed. Throws `arbiter_unreachable`. */
  async look(): Promise<void> {
    const { log, arbiter } = this.#options;
    const incarnation = await arbiter.incarnation();
    if (incarnation === this.#incarnation) return;
    this.#incarnation = incarnation;
    log.error("the arbiter was restored or replaced: nothing is collected until it is accepted", {
      arbiter: arbiter.address,
    });
    this.#current.abort(this.#pastChanged());
    this.#current = new AbortController();
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
    const { store, arbiter, log } = this.#options;
    // Read before the arbiter counts: later, the number may be from another master's beat.
    const told = await store.get(BEATS_OBJECT);
    const body = [Buffer.from(String(await arbiter.beat(told === undefined ? 0 : countIn(told.bytes))))];
    // If this is refused, another master was faster, and its number will do.
    await putOver(store, BEATS_OBJECT, body, told?.token).catch((error: unknown) => {
      // The next beat tells a higher number.
      log.warn("cannot tell the store how far the arbiter counted", { error: describeError(error) });
    });
  }

  async #read(): Promise<string | undefined> {
    const there = await this.#options.store.get(PAST_OBJECT);
    return there && Buffer.from(there.bytes).toString("utf8");
  }

  /** Does not name the arbiter: owners of buckets see this. */
  #pastChanged(): SynclineError {
    const message = "The master's arbiter was restored or replaced. Nothing is collected.";
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

/** 0 if the text is not a number. */
function countIn(bytes: Uint8Array): number {
  const text = Buffer.from(bytes).toString("utf8");
  return /^\d{1,15}$/.test(text) ? Number(text) : 0;
}
