/**
 * A master that calls wait for: an unanswered call is repeated until it gets an answer or patience ends, so work survives a
 * master's restart. A call that must not run twice is repeated only if the master cannot have received it.
 */
import { hasCode, type SynclineError } from "../base/errors.ts";
import type { Capabilities } from "./capabilities.ts";
import {
  isUntrusted,
  maybeReceived,
  type Master,
  type MasterAnswer,
  type MasterReport,
  type MasterRequest,
} from "./master-connection.ts";
import { isGivenUp, type PatienceTools, TimeToWait } from "./patience.ts";

type Again = NonNullable<MasterRequest["again"]> | "always";

export class PatientMaster implements Master {
  readonly address: string;
  readonly #inner: Master;
  readonly #tools: PatienceTools;
  /** Shared by all calls, so that concurrent failures wait no longer than one. */
  readonly #calls: TimeToWait;
  /** Aborted once no caller is left. */
  readonly #ended = new AbortController();

  constructor(inner: Master, tools: PatienceTools) {
    this.#inner = inner;
    this.#tools = tools;
    this.#calls = new TimeToWait(tools);
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
    return this.#patiently("always", work, new TimeToWait(this.#tools));
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
    const json = () => this.#patiently("always", read, new TimeToWait(this.#tools));
    return { ...answer, json };
  }

  async #patiently<Result>(again: Again, work: () => Promise<Result>, time = this.#calls): Promise<Result> {
    for (let repeats = 0; ; repeats++) {
      try {
        const result = await work();
        time.answered();
        return result;
      } catch (error) {
        if (!isAway(error) || again === "never" || (again === "if not received" && maybeReceived(error))) throw error;
        const isAgain = !isGivenUp(error) && (await time.pause(error, repeats, this.#ended.signal));
        if (!isAgain || this.#ended.signal.aborted) throw error;
      }
    }
  }
}

/** An untrusted certificate does not get better by waiting. */
function isAway(error: unknown): error is SynclineError {
  return hasCode(error, "store_unreachable", "arbiter_unreachable") && !isUntrusted(error);
}
