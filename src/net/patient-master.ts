/**
 * A master that calls wait for: an unanswered call is repeated until it gets an answer or patience ends, so work survives a
 * master's restart. A call that must not run twice is repeated only if the master cannot have received it.
 */
import type { Clock } from "../base/clock.ts";
import { hasCode, type SynclineError } from "../base/errors.ts";
import { RECONNECT_FIRST_MS, RECONNECT_MAX_MS } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import type { Capabilities } from "./capabilities.ts";
import {
  isUntrusted,
  maybeReceived,
  type Master,
  type MasterAnswer,
  type MasterReport,
  type MasterRequest,
} from "./master-connection.ts";
import { Unanswered } from "./unanswered.ts";

export interface Patience {
  /** The longest time without any answer. */
  readonly ms: number;
  /** The longest silence of one call (ConnectionOptions). */
  readonly silenceMs?: number | undefined;
  /** Reports the first failed call each time the master goes away, and for how long calls are repeated. */
  waiting(error: SynclineError, leftMs: number): void;
}

export interface PatienceTools extends Patience {
  readonly clock: Clock;
  readonly random: Random;
}

type Again = NonNullable<MasterRequest["again"]> | "always";

interface Away {
  /** Since when nothing was answered; absent while calls are answered. */
  sinceMs?: number | undefined;
  answeredMs: number;
}

export class PatientMaster implements Master {
  readonly address: string;
  readonly #inner: Master;
  readonly #tools: PatienceTools;
  /** Shared by all calls, so that concurrent failures wait no longer than one. */
  readonly #calls: Away = { answeredMs: -Infinity };
  /** Aborted once no caller is left. */
  readonly #ended = new AbortController();

  constructor(inner: Master, tools: PatienceTools) {
    this.#inner = inner;
    this.#tools = tools;
    this.address = inner.address;
  }

  async call(request: MasterRequest): Promise<MasterAnswer> {
    const { again = "always" } = request;
    const answer = await this.#patiently(again, () => this.#inner.call(request));
    return again === "always" ? this.#withWholeJson(request, answer) : answer;
  }

  capabilities(): Promise<Capabilities> {
    return this.#patiently("always", () => this.#inner.capabilities());
  }

  members(): MasterReport[] {
    return this.#inner.members?.() ?? [];
  }

  /** Counts for itself: calls of the work may well be answered while all of it fails. */
  patiently<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#patiently("always", work, { answeredMs: -Infinity });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#inner[Symbol.asyncDispose]();
  }

  /** Repeats the call if its JSON breaks off. */
  #withWholeJson(request: MasterRequest, answer: MasterAnswer): MasterAnswer {
    let first: MasterAnswer | undefined = answer;
    let brokenOff: unknown;
    const read = async () => {
      const next = first ?? (await this.#inner.call(request));
      first = undefined;
      try {
        const value = await next.json();
        // The caller has already acted on the status.
        if (next.status === answer.status) return value;
      } catch (error) {
        brokenOff = error;
      }
      throw brokenOff;
    };
    // Has its own deadline, because these calls do get an answer before it breaks off.
    const json = () => this.#patiently("always", read, { answeredMs: -Infinity });
    return { ...answer, json };
  }

  async #patiently<Result>(again: Again, work: () => Promise<Result>, away = this.#calls): Promise<Result> {
    const { clock, random } = this.#tools;
    for (let pauseMs = RECONNECT_FIRST_MS; ; pauseMs = Math.min(pauseMs * 2, RECONNECT_MAX_MS)) {
      try {
        const result = await work();
        away.sinceMs = undefined;
        away.answeredMs = clock.monotonicMs();
        return result;
      } catch (error) {
        if (!isAway(error) || again === "never" || (again === "if not received" && maybeReceived(error))) throw error;
        if (isGivenUp(error)) throw error;
        const leftMs = this.#leftMs(error, away);
        if (leftMs <= 0) {
          givenUp.add(error);
          throw error;
        }
        const pause = Math.min(leftMs, pauseMs * (0.5 + random.fraction() / 2));
        await clock.sleep(pause, this.#ended.signal).catch(() => {});
        if (this.#ended.signal.aborted) throw error;
      }
    }
  }

  #leftMs(error: SynclineError, away: Away): number {
    const { clock, ms, waiting } = this.#tools;
    const nowMs = clock.monotonicMs();
    const sinceMs = away.sinceMs ?? Math.max(away.answeredMs, nowMs - silentMsOf(error));
    const leftMs = sinceMs + ms - nowMs;
    if (away.sinceMs === undefined && leftMs > 0) waiting(error, leftMs);
    away.sinceMs = sinceMs;
    return leftMs;
  }
}

/** Errors of calls that had all the time there is: work that made such a call waits no longer. */
const givenUp = new WeakSet<Error>();

/** Whether a call was repeated as long as calls wait, and failed with this error. */
export function isGivenUp(error: unknown): boolean {
  return error instanceof Error && (givenUp.has(error) || isGivenUp(error.cause));
}

function silentMsOf({ cause }: Error): number {
  return cause instanceof Unanswered ? cause.silentMs : cause instanceof Error ? silentMsOf(cause) : 0;
}

/** An untrusted certificate does not get better by waiting. */
function isAway(error: unknown): error is SynclineError {
  return (hasCode(error, "store_unreachable") || hasCode(error, "arbiter_unreachable")) && !isUntrusted(error);
}
