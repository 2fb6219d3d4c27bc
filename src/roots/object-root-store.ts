/**
 * The root of a bucket with an object store of its own: its `root` object, replaced if the token still matches.
 *
 * The store decides; nothing here is retried. The last token read is remembered, so that a swap right after a read is one
 * request.
 */
import { hasCode, SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { ROOT_OBJECT } from "../format/blocks/object-name.ts";
import { decodeRoot, encodeRoot } from "../format/blocks/root-object.ts";
import type { ObjectStore, PutOutcome } from "../objects/object-store.ts";
import type { BucketName, Root, RootStore, SwapOutcome } from "./root-store.ts";

/** The name of the one bucket that such a store holds. */
export const ONLY_BUCKET: BucketName = { owner: "", bucket: "" };

interface StoredRoot extends Root {
  readonly token: string;
}

export class ObjectRootStore implements RootStore {
  readonly #store: ObjectStore;
  #last: StoredRoot | undefined;
  /** Whether a root has been seen: after that, a missing root is an error, and not a missing bucket. */
  #seen = false;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  async get(name: BucketName): Promise<Root | undefined> {
    this.#check(name);
    const stored = await this.#read();
    if (stored === undefined && this.#seen) {
      throw new SynclineError("arbiter_unreachable", `The bucket at ${this.#store.address} has lost its root.`, {
        hint: "If it is on a disk, check that it is mounted. Then run `syncline verify --repair` on the bucket.",
      });
    }
    return stored && rootOf(stored);
  }

  /** As RootStore.swap. If `version` is given, the root must still have it: a repair gives the same commit a new one. */
  async swap(name: BucketName, expected: Cid | undefined, next: Cid, version?: number): Promise<SwapOutcome> {
    this.#check(name);
    if (expected === undefined) return this.#create(next);
    const from = this.#last?.commit === expected ? this.#last : await this.#read();
    if (from?.commit !== expected || (version ?? from.version) !== from.version)
      return { kind: "conflict", current: from && rootOf(from) };
    const root = { commit: next, version: from.version + 1 };
    return this.#conclude(
      root,
      await this.#reach(() => this.#store.putIfMatch(ROOT_OBJECT, [encodeRoot(root)], from.token)),
    );
  }

  async #create(next: Cid): Promise<SwapOutcome> {
    const root = { commit: next, version: 1 };
    return this.#conclude(root, await this.#reach(() => this.#store.putNew(ROOT_OBJECT, [encodeRoot(root)])));
  }

  async #conclude(root: Root, outcome: PutOutcome): Promise<SwapOutcome> {
    switch (outcome.kind) {
      case "stored":
        this.#seen = true;
        this.#last = outcome.token === undefined ? undefined : { ...root, token: outcome.token };
        return { kind: "committed", root };
      case "refused": {
        const current = await this.#read();
        return { kind: "conflict", current: current && rootOf(current) };
      }
      case "unknown":
        return outcome;
    }
  }

  async #read(): Promise<StoredRoot | undefined> {
    try {
      const object = await this.#reach(() => this.#store.get(ROOT_OBJECT));
      if (object === undefined) return undefined;
      this.#seen = true;
      this.#last = { ...decodeRoot(object.bytes), token: object.token };
      return this.#last;
    } catch (cause) {
      if (!hasCode(cause, "format_invalid")) throw cause;
      throw new SynclineError("store_corrupt", `The root object of ${this.#store.address} is damaged.`, {
        hint: "Restore a copy of it, or run `syncline verify --repair`.",
        cause,
      });
    }
  }

  async #reach<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (cause) {
      if (!hasCode(cause, "store_unreachable")) throw cause;
      throw new SynclineError("arbiter_unreachable", cause.message, { hint: cause.hint, cause });
    }
  }

  #check({ owner, bucket }: BucketName): void {
    if (owner !== ONLY_BUCKET.owner || bucket !== ONLY_BUCKET.bucket) {
      throw new SynclineError("no_such_bucket", `${this.#store.address} holds a single, unnamed bucket.`);
    }
  }
}

function rootOf({ commit, version }: StoredRoot): Root {
  return { commit, version };
}
