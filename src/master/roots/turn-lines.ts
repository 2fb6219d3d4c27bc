/**
 * Lines of writers that wait for one another's swaps of a bucket, first come first served. Advisory: swaps need no turn. A
 * turn ends when its holder's swap is done, when the holder says so, or by a short time-out, since the holder may be gone.
 */
import type { Clock } from "../../base/clock.ts";
import type { Random } from "../../base/random.ts";
import { bucketKey, type BucketName } from "../../roots/root-store.ts";
import { FairBudget } from "../../http/fair-budget.ts";

/** Writers waiting or holding a turn: in total, and per owner. */
export const MAX_TURNS = 4_096;
export const OWNER_TURNS = 256;
/** The longest that a turn lasts, and that a writer waits for one. */
export const TURN_MS = 3_000;
export const TURN_WAIT_MS = 10_000;

export interface GivenTurn {
  /** A secret. */
  readonly id: string;
  /** Whether the writer had to wait for it. */
  readonly waited: boolean;
}

/** The line of one bucket; exists while a turn is held. */
interface Line {
  turn: { readonly id: string; readonly caller: string; readonly timer: Disposable };
  /** In order of arrival. */
  readonly waiting: Set<Waiter>;
}

interface Waiter {
  readonly caller: string;
  readonly given: PromiseWithResolvers<string | undefined>;
}

export class TurnLines {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #lines = new Map<string, Line>();
  /** Of waiting writers and turn holders. */
  readonly #places = new FairBudget(MAX_TURNS, OWNER_TURNS);

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /**
   * Resolves when it is the caller's turn. Undefined if that takes longer than TURN_WAIT_MS, too many wait already, or the
   * caller no longer waits (`signal`).
   */
  async take(name: BucketName, caller: string, signal: AbortSignal): Promise<GivenTurn | undefined> {
    if (signal.aborted || !this.#places.tryTake(caller, 1)) return undefined;
    const key = bucketKey(name);
    const line = this.#lines.get(key);
    if (line === undefined) {
      const turn = this.#begin(key, caller);
      this.#lines.set(key, { turn, waiting: new Set() });
      return { id: turn.id, waited: false };
    }
    const id = await this.#wait(line, { caller, given: Promise.withResolvers() }, signal);
    if (id === undefined) this.#places.give(caller, 1);
    else if (signal.aborted) this.#end(key, id);
    else return { id, waited: true };
    return undefined;
  }

  /** Ends this turn, if it is not over yet. */
  end(name: BucketName, id: string): void {
    this.#end(bucketKey(name), id);
  }

  /** Waiting writers and turn holders: for tests and metrics. */
  get places(): number {
    return this.#places.used;
  }

  async #wait(line: Line, waiter: Waiter, signal: AbortSignal): Promise<string | undefined> {
    const giveUp = () => {
      line.waiting.delete(waiter);
      waiter.given.resolve(undefined);
    };
    line.waiting.add(waiter);
    using _timer = this.#clock.after(TURN_WAIT_MS, giveUp);
    signal.addEventListener("abort", giveUp, { once: true });
    const id = await waiter.given.promise;
    signal.removeEventListener("abort", giveUp);
    return id;
  }

  #begin(key: string, caller: string): Line["turn"] {
    const id = Buffer.from(this.#random.bytes(12)).toString("hex");
    return { id, caller, timer: this.#clock.after(TURN_MS, () => this.#end(key, id)) };
  }

  #end(key: string, id: string): void {
    const line = this.#lines.get(key);
    if (line?.turn.id !== id) return;
    line.turn.timer[Symbol.dispose]();
    this.#places.give(line.turn.caller, 1);
    const [next] = line.waiting;
    if (next === undefined) {
      this.#lines.delete(key);
      return;
    }
    line.waiting.delete(next);
    line.turn = this.#begin(key, next.caller);
    next.given.resolve(line.turn.id);
  }
}
