/**
 * Turns in the line of a bucket at a master, where the master has one. A swap names its turn, so that the master can let
 * the next writer in as soon as the swap is through.
 */
import { hasCode } from "../../base/errors.ts";
import { orElse } from "../../base/unless.ts";
import type { Block } from "../../blocks/block-store.ts";
import { blockOf } from "../../blocks/block-codec.ts";
import type { Master, MasterAnswer } from "../../net/master-connection.ts";
import { rootFrom } from "../../roots/http-root-store.ts";
import type { Root } from "../../roots/root-store.ts";
import type { BucketTurn } from "../remote.ts";

export class HttpTurns {
  readonly #master: Master;
  readonly #path: string;
  readonly #brought: (block: Block) => void;
  #current: string | undefined;

  /** `path` is the bucket's. `brought` receives nodes that come with a turn and will be read in it. */
  constructor(master: Master, path: string, brought: (block: Block) => void = () => {}) {
    this.#master = master;
    this.#brought = brought;
    this.#path = `${path}/turn`;
  }

  /** As BucketRemote.takeTurn. */
  async take(): Promise<BucketTurn | undefined> {
    try {
      if (!(await this.#master.capabilities()).turns) return undefined;
      const answer = await this.#wait().catch((error: unknown) => {
        // Its master went away: another one has a line, too, and outside a line others would always be faster.
        if (hasCode(error, "store_unreachable")) return this.#wait();
        throw error;
      });
      return this.#turnOf(await answer.json().catch(() => undefined));
    } catch {
      // The swap will report whatever is wrong with the master.
      return undefined;
    }
  }

  /** What to send with a swap. */
  get headers(): Readonly<Record<string, string>> {
    return this.#current === undefined ? {} : { [HEADER]: this.#current };
  }

  /** The swap sent with the turn was carried out, which ended the turn. */
  swapped(): void {
    this.#current = undefined;
  }

  #wait(): Promise<MasterAnswer> {
    const request = { method: "POST", path: this.#path, statuses: [200, 204], again: "if not received" } as const;
    return this.#master.call(request);
  }

  #turnOf(said: unknown): BucketTurn | undefined {
    const { turn, waited } = typeof said === "object" && said !== null ? (said as Record<string, unknown>) : {};
    if (typeof turn !== "string" || !/^[\x21-\x7e]{1,64}$/.test(turn)) return undefined;
    this.#current = turn;
    for (const bytes of blocksIn(said)) this.#brought(blockOf("dag-cbor", bytes));
    return { waited: waited === true, root: rootIn(said), [Symbol.dispose]: () => void this.#end(turn) };
  }

  async #end(turn: string): Promise<void> {
    if (this.#current !== turn) return;
    this.#current = undefined;
    // If this fails, the turn expires.
    const call = {
      method: "DELETE",
      path: this.#path,
      headers: { [HEADER]: turn },
      statuses: [204],
      again: "never",
    } as const;
    await this.#master.call(call).then(
      (answer) => answer.json().catch(() => {}),
      () => {},
    );
  }
}

/** The root that came with a turn, if one did: older masters send none. */
function rootIn(said: unknown): Root | undefined {
  return orElse(undefined, () => rootFrom(said));
}

/** Blocks are named by their bytes: the master's word is not trusted. */
function blocksIn(said: unknown): Uint8Array[] {
  const { blocks } = said as { blocks?: unknown };
  if (!Array.isArray(blocks)) return [];
  const texts = blocks.slice(0, MAX_BROUGHT).filter((text): text is string => typeof text === "string");
  return texts.map((text) => Buffer.from(text, "base64"));
}

const MAX_BROUGHT = 16;
const HEADER = "syncline-turn";
