/** The root at the start of a repair: findings about it hold only while no other process publishes. */
import { SynclineError, unlessDamaged } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { ROOT_OBJECT } from "../../format/blocks/object-name.ts";
import { decodeRoot, encodeRoot, type RootPointer } from "../../format/blocks/root-object.ts";
import type { ObjectStore } from "../../objects/object-store.ts";

export class RepairedRoot {
  readonly #store: ObjectStore;
  readonly #token: string | undefined;
  /** Undefined if no root can be read. */
  readonly #root: RootPointer | undefined;

  private constructor(store: ObjectStore, token: string | undefined, root: RootPointer | undefined) {
    this.#store = store;
    this.#token = token;
    this.#root = root;
  }

  /** Undefined if no root can be read. */
  get commit(): Cid | undefined {
    return this.#root?.commit;
  }

  static async read(store: ObjectStore): Promise<RepairedRoot> {
    const object = await unlessDamaged(() => store.get(ROOT_OBJECT));
    const root = object && (await unlessDamaged(async () => decodeRoot(object.bytes)));
    return new RepairedRoot(store, object?.token, root);
  }

  /** Throws `root_moved` if another process published since it was read. */
  async check(): Promise<void> {
    if ((await unlessDamaged(() => this.#store.get(ROOT_OBJECT)))?.token !== this.#token) throw moved();
  }

  /**
   * Swaps in the same commit once more: what others have read of its object is outdated, and what they built on that must
   * not become the root. Throws as `check`, and `store_unreachable`.
   */
  async swapAgain(): Promise<void> {
    if (this.#root === undefined || this.#token === undefined) return;
    const body = encodeRoot({ commit: this.#root.commit, version: this.#root.version + 1 });
    const outcome = await this.#store.putIfMatch(ROOT_OBJECT, [body], this.#token);
    if (outcome.kind === "stored") return;
    const there = await unlessDamaged(() => this.#store.get(ROOT_OBJECT));
    if (there !== undefined && Buffer.compare(there.bytes, body) === 0) return;
    if (outcome.kind === "refused" || there?.token !== this.#token) throw moved();
    throw new SynclineError("store_unreachable", `Cannot tell whether the root of ${this.#store.address} was stored.`, {
      hint: "Stop the agents on this bucket, then repair again.",
      cause: outcome.cause,
    });
  }
}

function moved(): SynclineError {
  return new SynclineError("root_moved", "Another process published during the repair.", {
    hint: "Stop the agents on this bucket, then repair again.",
  });
}
