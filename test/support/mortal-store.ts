/** An ObjectStore whose user dies at a chosen change: before it, or right after it. */
import type { ObjectStore } from "../../src/objects/object-store.ts";

export interface MortalStore {
  readonly store: ObjectStore;
  /** The number of changes begun. */
  readonly steps: number;
}

/** Dies at change number `at`, counted from 0; every later call fails. `done`: that change still takes place. */
export function mortalStore(inner: ObjectStore, at: number, done: boolean): MortalStore {
  let steps = 0;
  let dead = false;
  const alive = () => {
    if (dead) throw new Error("dead");
  };
  const change = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    alive();
    if (steps++ !== at) return work();
    dead = true;
    if (done) await work();
    throw new Error("died");
  };
  const store: ObjectStore = {
    address: inner.address,
    initialize: () => inner.initialize(),
    head: async (name) => (alive(), inner.head(name)),
    get: async (name) => (alive(), inner.get(name)),
    getRanges: async (name, ranges) => (alive(), inner.getRanges(name, ranges)),
    getTail: async (name, length) => (alive(), inner.getTail(name, length)),
    putNew: (name, body, options) => change(() => inner.putNew(name, body, options)),
    putIfMatch: (name, body, token, options) => change(() => inner.putIfMatch(name, body, token, options)),
    now: async () => (alive(), inner.now()),
    settle: async () => (alive(), inner.settle()),
    delete: (name) => change(() => inner.delete(name)),
    list: (prefix) => (alive(), inner.list(prefix)),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
  return {
    store,
    get steps() {
      return steps;
    },
  };
}
