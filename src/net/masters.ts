/**
 * Several masters of one bucket: calls go to one that answers, and move on when it stops answering. Skipping a live master
 * by mistake is harmless, since the masters share one arbiter.
 */
import type { Clock } from "../base/clock.ts";
import { hasCode } from "../base/errors.ts";
import { MASTER_NEXT_MS } from "../base/limits.ts";
import type { Capabilities } from "./capabilities.ts";
import type { Master, MasterAnswer, MasterRequest } from "./master-connection.ts";

export class Masters implements Master {
  readonly address: string;
  readonly #clock: Clock;
  /** The order in which masters are tried: the last to answer first, the last to fail last. */
  #ranked: readonly Master[];
  #chosen: Promise<Master> | undefined;

  /** At least one, in their initial order. */
  constructor(masters: readonly Master[], clock: Clock) {
    this.#ranked = masters;
    this.#clock = clock;
    this.address = masters.map(({ address }) => address).join(",");
  }

  async call(request: MasterRequest): Promise<MasterAnswer> {
    const master = await this.#choose();
    try {
      return await master.call(request);
    } catch (error) {
      // Never resent here: only the caller knows whether that is safe.
      if (hasCode(error, "store_unreachable")) this.#leave(master);
      throw error;
    }
  }

  async capabilities(): Promise<Capabilities> {
    return (await this.#choose()).capabilities();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#ranked.map((master) => master[Symbol.asyncDispose]()));
  }

  #choose(): Promise<Master> {
    const chosen = (this.#chosen ??= this.#firstThatAnswers());
    chosen.catch(() => {
      if (this.#chosen === chosen) this.#chosen = undefined;
    });
    return chosen;
  }

  #leave(master: Master): void {
    this.#ranked = [...this.#ranked.filter((other) => other !== master), master];
    this.#chosen = undefined;
  }

  /** If none answers, throws the first one's error. */
  async #firstThatAnswers(): Promise<Master> {
    const asked: Promise<Master>[] = [];
    for (const master of this.#ranked) {
      const answer = master.capabilities().then(() => master);
      asked.push(answer);
      if ((await this.#soon(asked, answer)) !== undefined) break;
    }
    try {
      const first = await Promise.any(asked);
      this.#ranked = [first, ...this.#ranked.filter((other) => other !== first)];
      return first;
    } catch (error) {
      throw error instanceof AggregateError ? error.errors[0] : error;
    }
  }

  /** The first of these to answer; undefined once the newest has failed, or after a while without an answer. */
  async #soon(asked: readonly Promise<Master>[], newest: Promise<Master>): Promise<Master | undefined> {
    const over = new AbortController();
    const pause = this.#clock.sleep(MASTER_NEXT_MS, over.signal);
    const none = () => undefined;
    const first = await Promise.race([Promise.any(asked).catch(none), newest.catch(none), pause.then(none, none)]);
    over.abort();
    return first;
  }
}
