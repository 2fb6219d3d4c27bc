/** An S3 server without sockets, over objects in memory: answers requests as a store with conditional writes does. */
import type { MemoryObjectStore } from "../../objects/memory-object-store.ts";
import type { Answer } from "../../master/http/route.ts";
import { putOver } from "../../objects/object-store.ts";
import { SimulatedProcess } from "../process.ts";
import type { Timeline } from "../timeline.ts";
import type { Answered, MasterRequest } from "../master/simulated-master.ts";

export const S3_BUCKET = "bucket";

export class SimulatedS3 {
  readonly #store: MemoryObjectStore;
  /** Never dies. */
  readonly #process: SimulatedProcess;
  readonly #timeline: Timeline;
  readonly #onPut: (key: string) => Promise<void>;

  /** `onPut`: called after each object that was stored, before its answer leaves. */
  constructor(store: MemoryObjectStore, timeline: Timeline, onPut: (key: string) => Promise<void>) {
    this.#store = store;
    this.#timeline = timeline;
    this.#process = new SimulatedProcess(timeline, 0);
    this.#onPut = onPut;
  }

  async answer(request: MasterRequest): Promise<Answered> {
    const { status, headers, body: whole } = await this.#serve(request);
    const body = request.method === "HEAD" ? undefined : whole;
    const date = new Date(Number(this.#timeline.nowNs() / 1_000_000n)).toUTCString();
    const length = request.method === "HEAD" ? {} : { "content-length": String(body?.length ?? 0) };
    const answer: Answer = { status, headers: { date, ...length, ...headers }, ...(body && { body }) };
    return { answer, process: this.#process };
  }

  async #serve({ method, path, headers, body }: MasterRequest): Promise<Served> {
    const { pathname, searchParams } = new URL(path, "http://s3");
    const key = decodeURIComponent(pathname.slice(`/${S3_BUCKET}/`.length));
    if (method === "GET" && searchParams.has("list-type")) return this.#list(searchParams.get("prefix") ?? "");
    if (method === "PUT") return this.#put(key, [Uint8Array.from(body)], headers);
    if (method === "DELETE") {
      await this.#store.delete(key);
      return { status: 204, headers: {} };
    }
    const [object, info] = [await this.#store.get(key), await this.#store.head(key)];
    if (object === undefined || info === undefined) return failure(404, "NoSuchKey");
    const known = { etag: `"${object.token}"`, "last-modified": new Date(info.modifiedMs).toUTCString() };
    if (method === "HEAD") return { status: 200, headers: { ...known, "content-length": String(info.size) } };
    const range = rangeOf(headers["range"], info.size);
    if (range === undefined) return { status: 200, headers: known, body: object.bytes };
    if (range === "outside") return failure(416, "InvalidRange");
    const [from, to] = range;
    const told = { ...known, "content-range": `bytes ${from}-${to - 1}/${info.size}` };
    return { status: 206, headers: told, body: object.bytes.subarray(from, to) };
  }

  async #put(key: string, body: Uint8Array[], headers: Readonly<Record<string, string>>): Promise<Served> {
    const token = headers["if-match"]?.slice(1, -1);
    if (token === undefined && headers["if-none-match"] === undefined) await this.#store.delete(key);
    const outcome = await putOver(this.#store, key, body, token);
    if (outcome.kind !== "stored") return failure(412, "PreconditionFailed");
    await this.#onPut(key);
    return { status: 200, headers: { etag: `"${outcome.token}"` } };
  }

  async #list(prefix: string): Promise<Served> {
    const entries: string[] = [];
    for await (const { name, size, modifiedMs } of this.#store.list(prefix)) {
      const date = new Date(modifiedMs).toISOString();
      entries.push(`<Contents><Key>${name}</Key><Size>${size}</Size><LastModified>${date}</LastModified></Contents>`);
    }
    const text = `<ListBucketResult><IsTruncated>false</IsTruncated>${entries.join("")}</ListBucketResult>`;
    return { status: 200, headers: {}, body: Buffer.from(text) };
  }
}

interface Served {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

function failure(status: number, code: string): Served {
  return { status, headers: {}, body: Buffer.from(`<Error><Code>${code}</Code></Error>`) };
}

/** From and to; undefined: all of it. */
function rangeOf(header: string | undefined, size: number): readonly [number, number] | "outside" | undefined {
  const [, first = "", last = ""] = /^bytes=(\d*)-(\d*)$/.exec(header ?? "") ?? [];
  if (first === "" && last === "") return undefined;
  const from = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  if (from >= size) return "outside";
  return [from, first === "" || last === "" ? size : Math.min(size, Number(last) + 1)];
}
