/** An ObjectStore with some calls replaced. */
import type { ObjectStore } from "../../src/objects/object-store.ts";

export function alteredStore(inner: ObjectStore, calls: Partial<ObjectStore>): ObjectStore {
  return new Proxy(inner, {
    get(target, property) {
      const altered: unknown = Reflect.get(calls, property);
      if (altered !== undefined) return altered;
      const value: unknown = Reflect.get(target, property);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
