import type { SqliteArbiter } from "../../src/arbiter/sqlite-arbiter.ts";

/** The same arbiter for several storages, none of which closes it. */
export function kept(arbiter: SqliteArbiter): SqliteArbiter {
  return new Proxy(arbiter, {
    get(target, name) {
      if (name === Symbol.asyncDispose) return async () => {};
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
