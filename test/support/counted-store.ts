/** An ObjectStore that counts requests and lets a test decide the outcome of a put. */
import type { ObjectBody, ObjectStore, PutOutcome } from "../../src/objects/object-store.ts";

export interface Requests {
  puts: number;
  reads: number;
  bytesPut: number;
  /** Names in the order of their puts. */
  names: string[];
}

export interface CountedStore {
  readonly store: ObjectStore;
  /** The requests since the last `take`. */
  take(): Requests;
  /** Replaces the next put of an object whose name has this prefix; may call `put` to let it happen. */
  interceptPut(prefix: string, stand: (put: () => Promise<PutOutcome>) => Promise<PutOutcome>): void;
}

export function countedStore(inner: ObjectStore): CountedStore {
  let requests = none();
  const stands: { prefix: string; stand: (put: () => Promise<PutOutcome>) => Promise<PutOutcome> }[] = [];

  const put = async (name: string, body: ObjectBody, send: Send) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(chunk);
    requests.puts++;
    requests.names.push(name);
    requests.bytesPut += chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const at = stands.findIndex(({ prefix }) => name.startsWith(prefix));
    const [stand] = at < 0 ? [] : stands.splice(at, 1);
    return stand === undefined ? send(chunks) : stand.stand(() => send(chunks));
  };
  const read = <Result>(result: Result): Result => {
    requests.reads++;
    return result;
  };

  const store: ObjectStore = {
    address: inner.address,
    initialize: () => inner.initialize(),
    head: (name) => read(inner.head(name)),
    get: (name) => read(inner.get(name)),
    getRanges: (name, ranges) => {
      requests.reads += ranges.length;
      return inner.getRanges(name, ranges);
    },
    getTail: (name, length) => read(inner.getTail(name, length)),
    putNew: (name, body, options) => put(name, body, (chunks) => inner.putNew(name, chunks, options)),
    putIfMatch: (name, body, token, options) =>
      put(name, body, (chunks) => inner.putIfMatch(name, chunks, token, options)),
    settle: () => inner.settle(),
    now: () => inner.now(),
    delete: (name) => inner.delete(name),
    list: (prefix) => inner.list(prefix),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
  return {
    store,
    take: () => {
      const taken = requests;
      requests = none();
      return taken;
    },
    interceptPut: (prefix, stand) => void stands.push({ prefix, stand }),
  };
}

type Send = (chunks: Uint8Array[]) => Promise<PutOutcome>;

function none(): Requests {
  return { puts: 0, reads: 0, bytesPut: 0, names: [] };
}
