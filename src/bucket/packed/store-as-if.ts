/** An object store as it would be with some objects replaced, for reading only: what is put is refused. */
import { type ObjectStore, type PutOutcome, tokenOf } from "../../objects/object-store.ts";

export function storeAsIf(store: ObjectStore, objects: ReadonlyMap<string, Uint8Array>): ObjectStore {
  const refuse = async (): Promise<PutOutcome> => ({ kind: "refused" });
  return {
    address: store.address,
    initialize: async () => {},
    async head(name) {
      const bytes = objects.get(name);
      return bytes === undefined ? store.head(name) : { name, size: bytes.length, modifiedMs: 0 };
    },
    async get(name) {
      const bytes = objects.get(name);
      return bytes === undefined ? store.get(name) : { bytes, token: tokenOf(bytes) };
    },
    getRanges: (name, ranges) => store.getRanges(name, ranges),
    getTail: (name, length) => store.getTail(name, length),
    putNew: refuse,
    putIfMatch: refuse,
    settle: async () => {},
    delete: async () => {},
    list: (prefix) => store.list(prefix),
    now: () => store.now(),
    [Symbol.asyncDispose]: async () => {},
  };
}
