/** How long calls wait for a server that is away, and for how long one call may be silent. */
import type { Clock } from "../base/clock.ts";
import type { SynclineError } from "../base/errors.ts";
import { RECONNECT_FIRST_MS, RECONNECT_MAX_MS } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import { Unanswered } from "./unanswered.ts";

export interface Patience {
  /** The longest time without any answer. */
  readonly ms: number;
  /** The longest silence of one call. With it, no answer takes longer than `ms`. Absent: as without patience. */
  readonly silenceMs?: number | undefined;
  /** Reports the first failed call each time the server goes away, and for how long calls are repeated. */
  waiting(error: SynclineError, leftMs: number): void;
}

export interface PatienceTools extends Patience {
  readonly clock: Clock;
  readonly random: Random;
}

/** The time that calls have left. Those that share it wait no longer than one of them. */
export class TimeToWait {
  readonly #tools: PatienceTools;
  /** Since when nothing was answered; absent while calls are answered. */
  #sinceMs: number | undefined;
  #answeredMs = -Infinity;

  constructor(tools: PatienceTools) {
    this.#tools = tools;
  }

  answered(): void {
    this.#sinceMs = undefined;
    this.#answeredMs = this.#tools.clock.monotonicMs();
  }

  /**
   * Pauses before a failed call is repeated: longer for each of its `repeats`, and cut short by the signal. False: there is no
   * time left, and the error and its causes are given up.
   */
  async pause(failure: SynclineError, repeats: number, signal?: AbortSignal): Promise<boolean> {
    const { clock, random } = this.#tools;
    const leftMs = this.#leftMs(failure);
    if (leftMs <= 0) {
      for (let one: unknown = failure; one instanceof Error; one = one.cause) givenUp.add(one);
      return false;
    }
    const pauseMs = Math.min(RECONNECT_FIRST_MS * 2 ** repeats, RECONNECT_MAX_MS);
    await clock.sleep(Math.min(leftMs, pauseMs * (0.5 + random.fraction() / 2)), signal).catch(() => {});
    return true;
  }

  #leftMs(error: SynclineError): number {
    const { clock, ms, waiting } = this.#tools;
    const nowMs = clock.monotonicMs();
    const sinceMs = this.#sinceMs ?? Math.max(this.#answeredMs, nowMs - silentMsOf(error));
    const leftMs = sinceMs + ms - nowMs;
    if (this.#sinceMs === undefined && leftMs > 0) waiting(error, leftMs);
    this.#sinceMs = sinceMs;
    return leftMs;
  }
}

const givenUp = new WeakSet<Error>();

/** Whether a call failed with this error after it was repeated for as long as calls wait. Its caller waits no longer. */
export function isGivenUp(error: unknown): boolean {
  return error instanceof Error && (givenUp.has(error) || isGivenUp(error.cause));
}

function silentMsOf({ cause }: Error): number {
  return cause instanceof Unanswered ? cause.silentMs : cause instanceof Error ? silentMsOf(cause) : 0;
}
