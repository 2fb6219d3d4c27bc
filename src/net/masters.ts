/** Several masters of one bucket: calls go to the first that answers, and move on when it does not answer any more. */
import { hasCode } from "../base/errors.ts";
import type { Capabilities } from "./capabilities.ts";
import type { Master, MasterAnswer, MasterRequest } from "./master-connection.ts";

export class Masters implements Master {
  readonly address: string;
  readonly #all: readonly Master[];
  #chosen: Promise<Master> | undefined;

  /** At least one, in the order in which they are tried. */
  constructor(masters: readonly Master[]) {
    this.#all = masters;
    this.address = masters.map(({ address }) => address).join(",");
  }

  async call(request: MasterRequest): Promise<MasterAnswer> {
    const master = await this.#choose();
    try {
      return await master.call(request);
    } catch (error) {
      // Never sent again from here: whoever called knows whether that is safe.
      if (hasCode(error, "store_unreachable")) this.#chosen = undefined;
      throw error;
    }
  }

  async capabilities(): Promise<Capabilities> {
    return (await this.#choose()).capabilities();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#all.map((master) => master[Symbol.asyncDispose]()));
  }

  #choose(): Promise<Master> {
    const chosen = (this.#chosen ??= this.#firstThatAnswers());
    chosen.catch(() => {
      if (this.#chosen === chosen) this.#chosen = undefined;
    });
    return chosen;
  }

  async #firstThatAnswers(): Promise<Master> {
    let first: { readonly error: unknown } | undefined;
    for (const master of this.#all) {
      try {
        await master.capabilities();
        return master;
      } catch (error) {
        first ??= { error };
      }
    }
    throw first?.error;
  }
}
