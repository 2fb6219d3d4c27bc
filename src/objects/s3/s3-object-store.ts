/**
 * Objects in an S3 bucket, below a prefix. Conditional writes decide: `If-None-Match: *` creates, `If-Match` replaces
 * (put-until-known.ts).
 */
import type { Clock } from "../../base/clock.ts";
import { mapConcurrent } from "../../base/concurrency.ts";
import { SynclineError } from "../../base/errors.ts";
import { STORE_CONCURRENCY } from "../../base/limits.ts";
import { mostBytesOf } from "../../format/blocks/object-name.ts";
import { Unanswered } from "../../net/unanswered.ts";
import { endsEarly, objectNotFound, tooLarge } from "../object-store.ts";
import type {
  ByteRange,
  ObjectBody,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutOutcome,
  RequestReport,
  StoredObject,
  TakePart,
} from "../object-store.ts";
import { untilPutEnds } from "../put-end.ts";
import { putInParts } from "./multipart.ts";
import { type ConditionalPut, isAbsent, putUntilKnown } from "./put-until-known.ts";
import { isTrouble, S3Client, type S3ClientOptions } from "./s3-client.ts";
import { gather, parseList, type S3Answer } from "./s3-request.ts";

export interface S3ObjectStoreOptions extends S3ClientOptions {
  /** For display; without credentials. */
  readonly address: string;
  /** Of all keys: "" or one that ends with "/". */
  readonly prefix: string;
}

/** An object with the server's date of its last write, in milliseconds since 1970. */
export interface DatedObject extends StoredObject {
  readonly modifiedMs: number;
}

/** Larger bodies go up in parts. */
export const ONE_PUT_BYTES = 64 * 1024 * 1024;
const NOTHING = new Uint8Array();

export class S3ObjectStore implements ObjectStore {
  readonly address: string;
  readonly #prefix: string;
  readonly #client: S3Client;
  readonly #clock: Clock;
  readonly #options: S3ObjectStoreOptions;
  readonly #openedMs: number;
  readonly #isOwner: boolean;

  /** With a client of another store, which closes it. */
  constructor(options: S3ObjectStoreOptions, client?: S3Client) {
    this.address = options.address;
    this.#prefix = options.prefix;
    this.#client = client ?? new S3Client(options);
    this.#isOwner = client === undefined;
    this.#clock = options.clock;
    this.#openedMs = options.clock.monotonicMs();
    this.#options = options;
  }

  /** The objects below a folder, which ends with "/", over the same connections, which only this store closes. */
  below(folder: string): S3ObjectStore {
    const prefix = this.#prefix + folder;
    return new S3ObjectStore({ ...this.#options, prefix, address: `${this.address}/${folder}` }, this.#client);
  }

  /** Requests so far, by class. */
  requests(): RequestReport {
    return { ...this.#client.counts, forMs: Math.round(this.#clock.monotonicMs() - this.#openedMs) };
  }

  /** Checks that the S3 bucket is there and nothing else lies below the prefix. */
  async initialize(): Promise<void> {
    const { objects } = await this.#listPage("", { "max-keys": "8" });
    const foreign = objects.map(({ key }) => this.#name(key)).find((name) => !OURS.test(name) && !PROBES.test(name));
    if (foreign === undefined) return;
    throw new SynclineError("path_exists", `${this.address} holds other objects already (${foreign}).`, {
      hint: "Give the bucket a prefix of its own: s3://BUCKET/PREFIX.",
    });
  }

  async head(name: string): Promise<ObjectInfo | undefined> {
    const answer = await this.#head(name);
    if (answer === undefined) return undefined;
    const size = Number(answer.headers["content-length"] ?? Number.NaN);
    const modifiedMs = Date.parse(answer.headers["last-modified"] ?? "");
    if (Number.isNaN(size) || Number.isNaN(modifiedMs)) throw malformed(this.address, name);
    return { name, size, modifiedMs };
  }

  /** The object's token, as `get` returns it; undefined: it is not there. */
  async token(name: string): Promise<string | undefined> {
    return (await this.#head(name))?.headers["etag"];
  }

  async get(name: string): Promise<DatedObject | undefined> {
    const most = mostBytesOf(name);
    const atMost = { bytes: most, exceeded: () => tooLarge(name, most) };
    const answer = await this.#client.read({ method: "GET", key: this.#key(name), atMost });
    if (isAbsent(answer)) return undefined;
    if (answer.status !== 200) throw this.#client.refusal(answer, `to read ${name}`);
    const token = answer.headers["etag"];
    if (token === undefined) throw malformed(this.address, name);
    return { bytes: answer.body, token, modifiedMs: Date.parse(answer.headers["last-modified"] ?? "") || 0 };
  }

  /** Callers join neighbors (packs/ranged-reads.ts): each range is a request. */
  async getRanges(name: string, ranges: readonly ByteRange[]): Promise<Uint8Array[]> {
    const isEmpty = ranges.every(({ length }) => length === 0);
    if (isEmpty && (await this.head(name)) === undefined) throw objectNotFound(this.address, name);
    return mapConcurrent(ranges, STORE_CONCURRENCY, async (range) => {
      if (range.length === 0) return new Uint8Array();
      const bytes = await this.#range(name, range);
      if (bytes.length < range.length) throw endsEarly(name, range, range.offset + bytes.length);
      if (bytes.length > range.length) throw malformed(this.address, name);
      return bytes;
    });
  }

  async streamRanges(name: string, ranges: readonly ByteRange[], take: TakePart): Promise<void> {
    await mapConcurrent([...ranges.entries()], STORE_CONCURRENCY, async ([index, range]) => {
      const { length } = range;
      if (length === 0) return;
      const arrived = await this.#streamRange(name, range, (at, part) => take(index, at, part));
      if (arrived < length) throw endsEarly(name, range, range.offset + arrived);
    });
  }

  async getTail(name: string, length: number): Promise<{ bytes: Uint8Array; size: number }> {
    const wanted = Math.max(1, length);
    const tail = await this.#part(name, `bytes=-${wanted}`);
    // Some servers refuse a tail that is longer than the object. An empty object has no range at all.
    const { bytes, size } = tail ?? (await this.#part(name, `bytes=0-${wanted - 1}`)) ?? { bytes: NOTHING, size: 0 };
    if (bytes.length < Math.min(length, size)) throw malformed(this.address, name);
    return { bytes: bytes.subarray(Math.max(0, bytes.length - length)), size };
  }

  /** undefined: the object has no such range. The bytes are the whole object where the server ignores ranges. */
  async #part(name: string, range: string): Promise<{ bytes: Uint8Array; size: number } | undefined> {
    const answer = await this.#client.read({ method: "GET", key: this.#key(name), headers: { range } });
    if (isAbsent(answer)) throw objectNotFound(this.address, name);
    if (answer.status === 416) return undefined;
    const { body } = answer;
    if (answer.status === 200) return { bytes: body, size: body.length };
    if (answer.status !== 206) throw this.#client.refusal(answer, `to read ${name}`);
    const size = Number(/\/(\d+)$/.exec(answer.headers["content-range"] ?? "")?.[1] ?? Number.NaN);
    if (Number.isNaN(size)) throw malformed(this.address, name);
    return { bytes: body, size };
  }

  putNew(name: string, body: ObjectBody, options: PutOptions = {}): Promise<PutOutcome> {
    return untilPutEnds(options, this.#clock, async (signal) => {
      const { chunks, rest } = await gather(body, ONE_PUT_BYTES);
      signal?.throwIfAborted();
      // Without quotes: "*" in quotes is a tag like any other to most servers.
      const condition = { "if-none-match": "*" };
      if (rest !== undefined) return putInParts(this.#client, this.#key(name), chunks, rest, condition, signal);
      return this.#put({ name, chunks, condition, token: undefined, signal });
    });
  }

  putIfMatch(name: string, body: ObjectBody, token: string, options: PutOptions = {}): Promise<PutOutcome> {
    return untilPutEnds(options, this.#clock, async (signal) => {
      const { chunks, rest } = await gather(body, ONE_PUT_BYTES);
      signal?.throwIfAborted();
      if (rest !== undefined) throw tooLargeToReplace(name);
      return this.#put({ name, chunks, condition: { "if-match": token }, token, signal });
    });
  }

  /** Stores whatever is there: for hints, and where the server may not heed conditions. Sent until it is answered. */
  async replace(name: string, body: ObjectBody, { signal }: PutOptions = {}): Promise<PutOutcome> {
    const { chunks, rest } = await gather(body, ONE_PUT_BYTES);
    if (rest !== undefined) throw tooLargeToReplace(name);
    const answer = await this.#client.read({ method: "PUT", key: this.#key(name), body: chunks, signal });
    if (answer.status !== 200) throw this.#client.refusal(answer, `to store ${name}`);
    return { kind: "stored", token: answer.headers["etag"] };
  }

  /**
   * One conditional put that holds back the last of its pieces until `beforeLast`: for a race. `token`: as putIfMatch;
   * undefined: as putNew. Never sent again.
   */
  async race(
    name: string,
    body: readonly Uint8Array[],
    token: string | undefined,
    beforeLast: () => Promise<void>,
  ): Promise<PutOutcome> {
    const headers = token === undefined ? { "if-none-match": "*" } : { "if-match": token };
    try {
      const answer = await this.#client.send({ method: "PUT", key: this.#key(name), headers, body, beforeLast });
      if (answer.status === 200) return { kind: "stored", token: answer.headers["etag"] };
      const isGone = answer.status === 404 && token !== undefined && answer.error?.code === "NoSuchKey";
      if (answer.status === 412 || answer.status === 409 || isGone) return { kind: "refused" };
      if (!isTrouble(answer)) throw this.#client.refusal(answer, `to store ${name}`);
      return { kind: "unknown", cause: this.#client.refusal(answer, `to store ${name}`) };
    } catch (cause) {
      if (!(cause instanceof Unanswered)) throw cause;
      return { kind: "unknown", cause };
    }
  }

  /** The server does not answer. */
  unreachable(cause: unknown): SynclineError {
    return this.#client.unreachable(cause);
  }

  /** S3 answers a put once it is durable. */
  async settle(): Promise<void> {}

  async delete(name: string): Promise<void> {
    const answer = await this.#client.read({ method: "DELETE", key: this.#key(name) });
    if (answer.status !== 204 && answer.status !== 200 && !isAbsent(answer)) {
      throw this.#client.refusal(answer, `to delete ${name}`);
    }
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    // Finds cycles of tokens: remembers one token, and replaces it after 1, 2, 4, 8, … pages. In a cycle it comes again.
    let [kept, pages] = ["", 0];
    for (let next: string | undefined = ""; next !== undefined;) {
      const page = await this.#listPage(prefix, next === "" ? {} : { "continuation-token": next });
      for (const { key, size, modifiedMs } of page.objects) {
        const name = this.#name(key);
        if (OURS.test(name)) yield { name, size, modifiedMs };
      }
      if (page.next !== undefined && page.next === kept) throw endless(this.address);
      if ((++pages & (pages - 1)) === 0) kept = page.next ?? "";
      next = page.next;
    }
  }

  async now(): Promise<number | undefined> {
    if (this.#client.serverMs === undefined) await this.head("root");
    return this.#client.serverMs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOwner) await this.#client[Symbol.asyncDispose]();
  }

  async #head(name: string): Promise<S3Answer | undefined> {
    const answer = await this.#client.read({ method: "HEAD", key: this.#key(name) });
    if (isAbsent(answer)) return undefined;
    if (answer.status !== 200) throw this.#client.refusal(answer, `to look for ${name}`);
    return answer;
  }

  #put(put: Omit<ConditionalPut, "key" | "get">): Promise<PutOutcome> {
    return putUntilKnown(this.#client, { ...put, key: this.#key(put.name), get: () => this.get(put.name) });
  }

  async #range(name: string, { offset, length }: ByteRange): Promise<Uint8Array> {
    const headers = { range: `bytes=${offset}-${offset + length - 1}` };
    const answer = await this.#client.read({ method: "GET", key: this.#key(name), headers });
    if (isAbsent(answer)) throw objectNotFound(this.address, name);
    if (answer.status === 416) return new Uint8Array();
    // A view would keep the whole object in memory.
    if (answer.status === 200) return answer.body.slice(offset, offset + length);
    if (answer.status !== 206) throw this.#client.refusal(answer, `to read ${name}`);
    return answer.body;
  }

  /** Returns how many of its bytes there were. */
  async #streamRange(name: string, range: ByteRange, take: (at: number, part: Uint8Array) => void): Promise<number> {
    const { offset, length } = range;
    const headers = { range: `bytes=${offset}-${offset + length - 1}` };
    let arrived = 0;
    const answer = await this.#client.read({
      method: "GET",
      key: this.#key(name),
      headers,
      // Some servers ignore ranges and send the whole object.
      take: (status, place, part) => {
        const at = status === 206 ? place : place - offset;
        const from = Math.max(0, -at);
        const to = Math.min(part.length, length - at);
        if (from < to) take(at + from, part.subarray(from, to));
        arrived = Math.max(0, Math.min(length, at + part.length));
      },
    });
    if (isAbsent(answer)) throw objectNotFound(this.address, name);
    if (answer.status === 416) return 0;
    if (answer.status !== 206 && answer.status !== 200) throw this.#client.refusal(answer, `to read ${name}`);
    return arrived;
  }

  async #listPage(prefix: string, more: Readonly<Record<string, string>>) {
    const query = { "list-type": "2", "encoding-type": "url", prefix: this.#key(prefix), ...more };
    const answer = await this.#client.read({ method: "GET", query });
    if (answer.status !== 200) throw this.#client.refusal(answer, "to list objects");
    return parseList(Buffer.from(answer.body).toString("utf8"));
  }

  #key(name: string): string {
    return this.#prefix + name;
  }

  #name(key: string): string {
    return key.slice(this.#prefix.length);
  }
}

/** What a test of the server may have left (probe.ts). */
const PROBES = /^probe\//;
const OURS = /^((commit|pack|run|lease|bases|roots|owners)\/.+|genesis|root|arbiter)$/;

function tooLargeToReplace(name: string): SynclineError {
  return new SynclineError("limit_exceeded", `${name} has more than ${ONE_PUT_BYTES} bytes, too many to replace.`);
}

function endless(address: string): SynclineError {
  return new SynclineError("store_failed", `${address} repeats the same page of its list of objects.`);
}

function malformed(address: string, name: string): SynclineError {
  return new SynclineError("store_failed", `${address} answered for ${name} without its size, date or tag.`);
}
