/** A small S3 server whose answers a test bends: what real ones do seldom, on demand. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { S3ObjectStore, type S3ObjectStoreOptions } from "../../src/objects/s3/s3-object-store.ts";

export interface Seen {
  readonly method: string;
  /** Path and query below the bucket. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

/** What happens to a request: "serve" answers as S3 does; "mute" does the same, and cuts the connection instead of answering. */
export type Fate =
  | "serve"
  | "mute"
  | "cut"
  | { status: number; body?: string; headers?: Record<string, string>; after?: Promise<void> };

interface Tls {
  readonly cert: string;
  readonly key: string;
}

export class S3Script implements AsyncDisposable {
  readonly objects = new Map<string, { body: Buffer; tag: string; dateMs: number }>();
  readonly seen: Seen[] = [];
  /** The fates of the next requests that match, in order; else "serve". */
  readonly #fates: { matches: (seen: Seen) => boolean; fate: Fate }[] = [];
  readonly #server: Server;
  #tags = 0;
  /** Its clock minus ours. */
  aheadMs = 0;
  /** It checks conditions as a request begins, and writes once all of it came, as versitygw 1.7.0 did. */
  isHasty = false;
  /** What this server does not heed. */
  ignores: ReadonlySet<"if-match" | "if-none-match"> = new Set();

  readonly #scheme: string;

  private constructor(tls: Tls | undefined) {
    const handle = (request: IncomingMessage, response: ServerResponse) => void this.#handle(request, response);
    this.#server = tls === undefined ? createServer(handle) : createTlsServer(tls, handle);
    this.#scheme = tls === undefined ? "http" : "https";
  }

  static async start(tls?: Tls): Promise<S3Script> {
    const script = new S3Script(tls);
    await new Promise<void>((done) => script.#server.listen(0, "127.0.0.1", done));
    return script;
  }

  get endpoint(): string {
    return `${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  next(method: string, ...fates: readonly Fate[]): void {
    for (const fate of fates) this.#fates.push({ matches: (seen) => seen.method === method, fate });
  }

  /** Does not wait before it tries again. */
  store(
    env: Record<string, string> = { AWS_ACCESS_KEY_ID: "key", AWS_SECRET_ACCESS_KEY: "secret" },
    clock: Partial<Clock> = {},
    more: Partial<S3ObjectStoreOptions> = {},
  ): S3ObjectStore {
    return new S3ObjectStore({
      address: "s3://bucket/p",
      prefix: "p/",
      bucket: "bucket",
      endpoint: this.endpoint,
      region: "us-east-1",
      style: "path",
      env,
      clock: { ...systemClock, sleep: () => new Promise((done) => void setImmediate(done)), ...clock },
      random: systemRandom,
      ...more,
    });
  }

  /** What a request does, whatever becomes of its answer. */
  put(name: string, text: string): void {
    this.objects.set(`p/${name}`, {
      body: Buffer.from(text),
      tag: `"${++this.#tags}"`,
      dateMs: Date.now() + this.aheadMs,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const early = this.isHasty && request.method === "PUT" ? this.objects.get(pathOf(request)) : undefined;
    const wasAbsent = this.isHasty && early === undefined;
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const path = pathOf(request);
    if (wasAbsent && request.headers["if-none-match"] === "*") this.objects.delete(path);
    const seen = { method: request.method ?? "", path, headers: request.headers, body: Buffer.concat(parts) };
    this.seen.push(seen);
    const at = this.#fates.findIndex(({ matches }) => matches(seen));
    const fate = at < 0 ? "serve" : (this.#fates.splice(at, 1)[0]?.fate ?? "serve");
    if (typeof fate === "object") await fate.after;
    if (typeof fate === "object") return void response.writeHead(fate.status, fate.headers).end(fate.body ?? "");
    const answer = fate === "cut" ? undefined : this.#serve(seen);
    if (answer === undefined || fate === "mute") return void request.socket.destroy();
    response
      .writeHead(answer.status, { date: new Date(Date.now() + this.aheadMs).toUTCString(), ...answer.headers })
      .end(seen.method === "HEAD" ? undefined : answer.body);
  }

  #list(query: URLSearchParams) {
    const entries = [...this.objects]
      .filter(([key]) => key.startsWith(query.get("prefix") ?? ""))
      .map(([key, { body, dateMs }]) => {
        const date = new Date(dateMs).toISOString();
        return `<Contents><Key>${key}</Key><Size>${body.length}</Size><LastModified>${date}</LastModified></Contents>`;
      });
    const body = `<ListBucketResult><IsTruncated>false</IsTruncated>${entries.join("")}</ListBucketResult>`;
    return { status: 200, headers: {}, body };
  }

  #serve({ method, path, headers, body }: Seen) {
    const object = this.objects.get(path);
    const head = object && {
      etag: object.tag,
      "last-modified": new Date(object.dateMs).toUTCString(),
      "content-length": String(object.body.length),
    };
    const heeded = (name: "if-match" | "if-none-match") => (this.ignores.has(name) ? undefined : headers[name]);
    if (method === "GET" && path.startsWith("?")) return this.#list(new URLSearchParams(path));
    if (method === "PUT") {
      const isRefused =
        (heeded("if-none-match") === "*" && object !== undefined) ||
        (heeded("if-match") !== undefined && heeded("if-match") !== object?.tag);
      if (isRefused) return { status: 412, headers: {}, body: "<Error><Code>PreconditionFailed</Code></Error>" };
      const tag = `"${++this.#tags}"`;
      this.objects.set(path, { body, tag, dateMs: Date.now() + this.aheadMs });
      return { status: 200, headers: { etag: tag }, body: "" };
    }
    if (method === "DELETE") {
      this.objects.delete(path);
      return { status: 204, headers: {}, body: "" };
    }
    if (object === undefined || head === undefined) {
      return { status: 404, headers: {}, body: "<Error><Code>NoSuchKey</Code></Error>" };
    }
    return { status: 200, headers: head, body: object.body };
  }
}

function pathOf({ url = "" }: IncomingMessage): string {
  return decodeURIComponent(url.replace(/^\/bucket\/?/, ""));
}
