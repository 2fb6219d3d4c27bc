/** The root at the start of a repair: findings about it hold only while no other process publishes. */
import { SynclineError, unlessDamaged } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { ROOT_OBJECT } from "../../format/blocks/object-name.ts";
import { decodeRoot } from "../../format/blocks/root-object.ts";
import type { ObjectStore } from "../../objects/object-store.ts";

export class RepairedRoot {
  /** Undefined if no root can be read. */
  readonly commit: Cid | undefined;
  readonly #store: ObjectStore;
  readonly #token: string | undefined;

  private constructor(store: ObjectStore, token: string | undefined, commit: Cid | undefined) {
    this.#store = store;
    this.#token = token;
    this.commit = commit;
  }

  static async read(store: ObjectStore): Promise<RepairedRoot> {
    const object = await unlessDamaged(() => store.get(ROOT_OBJECT));
    const commit = object && (await unlessDamaged(async () => decodeRoot(object.bytes).commit));
    return new RepairedRoot(store, object?.token, commit);
  }

  /** Throws `root_moved` if another process published since it was read. */
  async check(): Promise<void> {
    if ((await unlessDamaged(() => this.#store.get(ROOT_OBJECT)))?.token === this.#token) return;
    throw new SynclineError("root_moved", "Another process published during the repair.", {
      hint: "Stop the agents on this bucket, then repair again.",
    });
  }
}
