/** A RootStore that forgets: for tests and simulations. */
import type { Cid } from "../base/ids.ts";
import type { BucketName, Root, RootStore, SwapOutcome } from "./root-store.ts";

export class MemoryRootStore implements RootStore {
  readonly #roots = new Map<string, Root>();

  async get(name: BucketName): Promise<Root | undefined> {
    return this.#roots.get(keyOf(name));
  }

  async swap(name: BucketName, expected: Cid | undefined, next: Cid): Promise<SwapOutcome> {
    const current = this.#roots.get(keyOf(name));
    if (current?.commit !== expected) return { kind: "conflict", current };
    const root = { commit: next, version: (current?.version ?? 0) + 1 };
    this.#roots.set(keyOf(name), root);
    return { kind: "committed", root };
  }
}

function keyOf({ owner, bucket }: BucketName): string {
  return `${owner}/${bucket}`;
}
