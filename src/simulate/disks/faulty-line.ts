/**
 * The line between a process and a server, call by call. Requests and answers take time, get lost, or are late; requests also
 * arrive twice. The line's own randomness decides.
 */
import type { Clock } from "../../base/clock.ts";
import type { SynclineError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { Fault, FaultCounts } from "../fault-counts.ts";

/** The probability of each fault per request. */
export interface LinkChances {
  readonly requestLost: number;
  readonly replyLost: number;
  readonly twice: number;
  readonly late: number;
  readonly flip: number;
}

export const CALM: LinkChances = { requestLost: 0, replyLost: 0, twice: 0, late: 0, flip: 0 };

export interface LineOptions {
  /** The world's clock, not the process's: a request in transit arrives even if its sender died. */
  readonly clock: Clock;
  readonly random: Random;
  readonly counts: FaultCounts;
  readonly chances: () => LinkChances;
  /** Called when a request will arrive later: its sender gave up, or it arrived once already. */
  readonly onLate: (atMs: number) => void;
  /** Whether the line is cut now. */
  readonly isCut: () => boolean;
  /** Whether the process is dead, so that no reply can reach it. */
  readonly isDead: () => boolean;
}

export type Fate = "fine" | "request lost" | "reply lost" | "request twice" | "request late";

export class FaultyLine {
  readonly #options: LineOptions;
  readonly #unreachable: () => SynclineError;

  /** `unreachable`: the error of a call that was not carried out. */
  constructor(options: LineOptions, unreachable: () => SynclineError) {
    this.#options = options;
    this.#unreachable = unreachable;
  }

  /** A call that changes nothing, and so can be repeated after any fault. */
  async read<Result>(work: () => Promise<Result>): Promise<Result> {
    const fate = this.#fate();
    await this.travel();
    const isLost = fate !== "fine" && fate !== "request twice";
    if (isLost) this.#options.counts.count(fate === "request late" ? "request lost" : fate);
    if (isLost || this.checkCut()) return this.#never();
    const result = await work();
    await this.travel();
    if (this.checkCut()) return this.#never();
    return this.alive(result);
  }

  /** Undefined: the outcome is unknown. Throws `unreachable` if the change did not happen and will not. */
  async change<Result>(work: () => Promise<Result>): Promise<{ readonly value: Result } | undefined> {
    const fate = this.#fate();
    if (fate !== "fine") this.#options.counts.count(fate);
    await this.travel();
    if (this.checkCut() || fate === "request lost") return this.#never();
    if (fate === "request late") {
      this.#later(work);
      return this.#unknown();
    }
    const value = await work();
    if (fate === "request twice") this.#later(work);
    await this.travel();
    return fate === "reply lost" || this.checkCut() ? this.#unknown() : this.alive({ value });
  }

  async travel(): Promise<void> {
    await this.#options.clock.sleep(travelMs(this.#options.random));
  }

  checkCut(): boolean {
    const isCut = this.#options.isCut();
    if (isCut) this.#options.counts.count("partition" satisfies Fault);
    return isCut;
  }

  /** Never resolves in a dead process. */
  async alive<Value>(value: Value): Promise<Value> {
    if (this.#options.isDead()) await new Promise<never>(() => {});
    return value;
  }

  /** Calls `hear` once, twice, or not at all, after a while. */
  hint(hear: () => void): void {
    const { clock, random, counts, chances, isCut, isDead } = this.#options;
    const { requestLost, twice } = chances();
    const draw = random.fraction();
    if (isDead() || isCut()) return;
    if (draw < requestLost) return counts.count("hint lost");
    for (let times = draw < requestLost + twice ? 2 : 1; times > 0; times--)
      clock.after(TRAVEL_MS * (0.5 + random.fraction()), () => isDead() || hear());
  }

  #later(work: () => Promise<unknown>): void {
    const { clock, random, onLate } = this.#options;
    const afterMs = LATE_MS * random.fraction();
    onLate(clock.monotonicMs() + afterMs);
    clock.after(afterMs, () => void work().catch(() => {}));
  }

  #fate(): Fate {
    return fateOf(this.#options.random, this.#options.chances());
  }

  /** The sender gives up after a while. */
  async #never(): Promise<never> {
    await this.#options.clock.sleep(PATIENCE_MS);
    await this.alive(undefined);
    throw this.#unreachable();
  }

  async #unknown(): Promise<undefined> {
    await this.#options.clock.sleep(PATIENCE_MS);
    return this.alive(undefined);
  }
}

export function fateOf(random: Random, { requestLost, replyLost, twice, late }: LinkChances): Fate {
  let draw = random.fraction();
  const fates = [
    ["request lost", requestLost],
    ["reply lost", replyLost],
    ["request twice", twice],
    ["request late", late],
  ] as const;
  for (const [fate, chance] of fates) if ((draw -= chance) < 0) return fate;
  return "fine";
}

/** How long a request or an answer travels. */
export function travelMs(random: Random): number {
  // Most packets take about equally long; a few take many times as long, so that requests overtake one another.
  const slow = random.fraction() < 0.05 ? 20 : 1;
  return TRAVEL_MS * slow * (0.5 + random.fraction());
}

/** Prefers bytes that are not zero, since preallocated files are mostly zeros. */
export function withFlippedBit(bytes: Uint8Array, random: Random): Uint8Array {
  const flipped = new Uint8Array(bytes);
  let at = Math.floor(random.fraction() * bytes.length);
  for (let tries = 0; tries < 8 && flipped[at] === 0; tries++) at = Math.floor(random.fraction() * at);
  flipped[at] = (flipped[at] ?? 0) ^ (1 << Math.floor(random.fraction() * 8));
  return flipped;
}

const TRAVEL_MS = 5;
/** A sender gives up after this time. */
export const PATIENCE_MS = 2_000;
/** The longest time after its sender gave up that a request may still arrive. */
export const LATE_MS = 10_000;
