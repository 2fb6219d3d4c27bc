/** An ObjectStore in memory, for tests and simulations. Without a clock its dates count writes. */
import { checkSize, endsEarly, objectNotFound, tokenOf } from "./object-store.ts";
import type {
  ByteRange,
  ObjectBody,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutOutcome,
  StoredObject,
} from "./object-store.ts";

export class MemoryObjectStore implements ObjectStore {
  readonly address: string;
  readonly keepsPuts = true;
  readonly isDoneWithBodies = true;
  readonly #objects = new Map<string, KeptObject>();
  /** Undefined: dates count writes. */
  readonly #nowMs: (() => number) | undefined;
  #writes = 0;

  constructor(address = "memory:", nowMs?: () => number) {
    this.address = address;
    this.#nowMs = nowMs;
  }

  /** How many objects it has. */
  get size(): number {
    return this.#objects.size;
  }

  async initialize(): Promise<void> {}

  async head(name: string): Promise<ObjectInfo | undefined> {
    const object = this.#objects.get(name);
    return object && { name, size: object.bytes.length, modifiedMs: object.modifiedMs };
  }

  async get(name: string): Promise<StoredObject | undefined> {
    const object = this.#objects.get(name);
    if (object !== undefined) checkSize(name, object.bytes.length);
    return object && { bytes: object.bytes.slice(), token: object.token };
  }

  async getRanges(name: string, ranges: readonly ByteRange[]): Promise<Uint8Array[]> {
    const bytes = this.#bytes(name);
    return ranges.map(({ offset, length }) => {
      if (offset + length > bytes.length) throw endsEarly(name, { offset, length }, bytes.length);
      return bytes.slice(offset, offset + length);
    });
  }

  async getTail(name: string, length: number): Promise<{ bytes: Uint8Array; size: number }> {
    const bytes = this.#bytes(name);
    return { bytes: bytes.slice(Math.max(0, bytes.length - length)), size: bytes.length };
  }

  async putNew(name: string, body: ObjectBody, options?: PutOptions): Promise<PutOutcome> {
    const bytes = await collect(body, options?.signal);
    return this.#objects.has(name) ? { kind: "refused" } : this.#store(name, bytes);
  }

  async putIfMatch(name: string, body: ObjectBody, token: string, options?: PutOptions): Promise<PutOutcome> {
    const bytes = await collect(body, options?.signal);
    const current = this.#objects.get(name);
    return current?.token === token ? this.#store(name, bytes) : { kind: "refused" };
  }

  async settle(): Promise<void> {}

  async delete(name: string): Promise<void> {
    this.#objects.delete(name);
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    for (const [name, { bytes, modifiedMs }] of this.#objects) {
      if (name.startsWith(prefix)) yield { name, size: bytes.length, modifiedMs };
    }
  }

  async now(): Promise<number | undefined> {
    return this.#nowMs?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #bytes(name: string): Uint8Array {
    const object = this.#objects.get(name);
    if (object === undefined) throw objectNotFound(this.address, name);
    return object.bytes;
  }

  #store(name: string, bytes: Uint8Array): PutOutcome {
    const token = tokenOf(bytes);
    this.#objects.set(name, { bytes, token, modifiedMs: this.#nowMs?.() ?? ++this.#writes });
    return { kind: "stored", token };
  }
}

interface KeptObject extends StoredObject {
  readonly modifiedMs: number;
}

async function collect(body: ObjectBody, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  signal?.throwIfAborted();
  return new Uint8Array(Buffer.concat(chunks));
}
