/** A RootStore that forgets. */
import type { Cid } from "../../src/base/ids.ts";
import {
  bucketKey,
  type BucketName,
  type Root,
  type RootRow,
  type RootTable,
  type SwapOutcome,
} from "../../src/roots/root-store.ts";

interface Held extends RootRow {
  readonly owner: string;
}

export class MemoryRootStore implements RootTable {
  readonly #roots = new Map<string, Held>();

  async get(name: BucketName): Promise<Root | undefined> {
    return this.#get(name);
  }

  async getMany(names: readonly BucketName[]): Promise<(Root | undefined)[]> {
    return names.map((name) => this.#get(name));
  }

  async row(name: BucketName): Promise<RootRow | undefined> {
    const held = this.#roots.get(bucketKey(name));
    return held && rowOf(held);
  }

  async list(owner: string, after: string, limit: number): Promise<RootRow[]> {
    const behind = [...this.#roots.values()].filter((held) => held.owner === owner && held.bucket > after);
    return behind
      .sort((a, b) => (a.bucket < b.bucket ? -1 : 1))
      .slice(0, limit)
      .map(rowOf);
  }

  async swap(name: BucketName, expected: Cid | undefined, next: Cid): Promise<SwapOutcome> {
    const current = this.#get(name);
    if (current?.commit !== expected) return { kind: "conflict", current };
    const root = { commit: next, version: (current?.version ?? 0) + 1 };
    this.#roots.set(bucketKey(name), { ...root, ...name, updatedAt: UPDATED_AT });
    return { kind: "committed", root };
  }

  swapInEra(name: BucketName, expected: Cid | undefined, next: Cid): Promise<SwapOutcome> {
    return this.swap(name, expected, next);
  }

  #get(name: BucketName): Root | undefined {
    const held = this.#roots.get(bucketKey(name));
    return held && { commit: held.commit, version: held.version };
  }
}

/** A fixed time. */
const UPDATED_AT = "2026-01-01T00:00:00Z";

function rowOf({ commit, version, bucket, updatedAt }: Held): RootRow {
  return { commit, version, bucket, updatedAt };
}
