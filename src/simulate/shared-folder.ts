/** What a shared folder offers beyond an object store: hints of changes, and a queue in which writers wait for turns. */
import type { Clock } from "../base/clock.ts";
import type { ObjectStore, PutOutcome, Turn } from "../objects/object-store.ts";

/** A writer that waited this long continues without a turn, as in a real folder (objects/turns.ts). */
export const TURN_WAIT_MS = 15_000;

/** The store, with hints and a queue of turns. */
export function sharedFolder(store: ObjectStore, clock: Clock): ObjectStore {
  const watchers = new Map<() => void, string>();
  const waiting: (() => void)[] = [];
  let isTaken = false;
  const leave = () => {
    const next = waiting.shift();
    if (next === undefined) isTaken = false;
    else next();
  };
  const told = async (name: string, put: Promise<PutOutcome>): Promise<PutOutcome> => {
    const outcome = await put;
    if (outcome.kind === "stored")
      for (const [changed, watched] of watchers) if (name.startsWith(watched)) clock.after(0, changed);
    return outcome;
  };
  const methods: Partial<ObjectStore> = {
    putNew: (name, body, options) => told(name, store.putNew(name, body, options)),
    putIfMatch: (name, body, token, options) => told(name, store.putIfMatch(name, body, token, options)),
    watch: (name, changed) => {
      watchers.set(changed, name);
      return { [Symbol.dispose]: () => void watchers.delete(changed) };
    },
    takeTurn: async () => {
      const begun = Promise.withResolvers<Turn | undefined>();
      const waited = isTaken;
      const begin = () => begun.resolve({ waited, [Symbol.dispose]: once(leave) });
      if (isTaken) {
        waiting.push(begin);
        clock.after(TURN_WAIT_MS, () => {
          const at = waiting.indexOf(begin);
          if (at >= 0) waiting.splice(at, 1);
          begun.resolve(undefined);
        });
      } else {
        isTaken = true;
        begin();
      }
      return begun.promise;
    },
  };
  return withMethods(store, methods);
}

/** The store with these methods replaced or added. */
export function withMethods(store: ObjectStore, methods: Partial<ObjectStore>): ObjectStore {
  return new Proxy(store, {
    get: (target, property) => {
      if (Object.hasOwn(methods, property)) return Reflect.get(methods, property);
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function once(action: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) action();
    isDone = true;
  };
}
