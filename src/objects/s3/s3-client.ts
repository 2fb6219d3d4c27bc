/**
 * Signed requests to one S3 bucket, over a pool of keep-alive sockets. Reads are tried again; a write is sent once, since
 * only its caller can tell what a lost answer means.
 */
import aws4 from "aws4";
import type { Dispatcher, Pool } from "undici";
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { RequestCounts } from "../object-store.ts";
import { exchange, type ExchangeAnswer, Unanswered } from "../../net/exchange.ts";
import { CredentialChain, type Environment, regionOf } from "./credentials.ts";
import { classOf, parseError, type S3Error, type S3Request, sentBody, sha256Of, targetOf } from "./s3-request.ts";

/** Where a bucket is. */
export interface S3Location {
  readonly bucket: string;
  /** Scheme, host and port. Undefined: AWS. */
  readonly endpoint: string | undefined;
  /** Undefined: from the environment, else us-east-1; the server's word counts more. */
  readonly region: string | undefined;
  /** Whether the bucket is a part of the path or of the host's name. */
  readonly style: "path" | "virtual";
}

export interface S3ClientOptions extends S3Location {
  readonly clock: Clock;
  readonly random: Random;
  readonly env?: Environment;
  /** A bearer in place of signatures, for gateways that take a wallet's. */
  readonly bearer?: (() => Promise<string>) | undefined;
  /** Replaces sockets: a simulation's network. */
  readonly dispatcher?: Pick<Dispatcher, "dispatch"> | undefined;
}

/** An answer, read to its end. */
export interface S3Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Uint8Array;
  /** Of redirects and refusals. */
  readonly error: S3Error | undefined;
}

/** Idle connections are closed after this long: a network that changed leaves dead ones behind. */
const KEEP_ALIVE_MS = 8_000;
const CONNECT_MS = 5_000;
const CONNECTIONS = 32;
/** A request is given up when nothing moves for this long. */
export const SILENCE_MS = 10_000;
const LEAST_BYTES = 1_024;
const MAX_HEADERS = 32 * 1_024;
/** No answer to our requests is larger. */
const MAX_ANSWER = 160 * 1_024 * 1_024;
/** Clock, region and credentials. */
const MOST_LESSONS = 3;
const TRIES = 6;
const FIRST_WAIT_MS = 50;
const LAST_WAIT_MS = 3_000;

export class S3Client implements AsyncDisposable {
  readonly counts: RequestCounts = { put: 0, list: 0, get: 0, delete: 0, refused: 0 };
  readonly #options: S3ClientOptions;
  readonly #credentials: CredentialChain;
  #pool: Promise<Pool> | undefined;
  #region: Promise<string> | undefined;
  /** The server's clock minus ours, known once it refused ours. */
  #skewMs = 0;
  /** The server's date in its last answer, and when that came. */
  #date: { readonly serverMs: number; readonly atMs: number } | undefined;
  /** The newest date of an object: servers' own dates may lag behind by a second. */
  #newestMs = 0;

  constructor(options: S3ClientOptions) {
    this.#options = options;
    this.#credentials = new CredentialChain(options.env ?? process.env, options.clock);
  }

  /** The server's date now, to the second as its objects' dates; undefined before its first answer. */
  get serverMs(): number | undefined {
    if (this.#date === undefined) return undefined;
    const ms = this.#date.serverMs + this.#options.clock.monotonicMs() - this.#date.atMs;
    return Math.max(Math.floor(ms / 1_000) * 1_000, this.#newestMs);
  }

  /**
   * Sends once; again only where the server said why it did nothing: our clock, our region, credentials that ended. Throws
   * `Unanswered`, the signal's reason, `bad_token`.
   */
  async send(request: S3Request): Promise<S3Answer> {
    let answer = await this.#exchange(request);
    for (let attempt = 0; attempt < MOST_LESSONS && answer.error !== undefined; attempt++) {
      if (!(await this.#learn(answer))) break;
      answer = await this.#exchange(request);
    }
    if (answer.status === 412) this.counts.refused++;
    return answer;
  }

  /** Sends until there is an answer that is not the server's trouble. Throws `store_unreachable`. */
  async read(request: S3Request): Promise<S3Answer> {
    let last: unknown;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      if (attempt > 0) await this.backOff(attempt);
      try {
        const answer = await this.send(request);
        if (!isTrouble(answer)) return answer;
        last = new Error(`It answered ${answer.status} ${answer.error?.code ?? ""}`.trim());
      } catch (cause) {
        if (!(cause instanceof Unanswered)) throw cause;
        last = cause;
      }
    }
    throw this.unreachable(last);
  }

  /** Waits before the attempt of this number, longer each time, half of it at random. */
  backOff(attempt: number, signal?: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    const ms = Math.min(FIRST_WAIT_MS * 2 ** attempt, LAST_WAIT_MS);
    return clock.sleep(ms * (0.5 + random.fraction() / 2), signal);
  }

  unreachable(cause: unknown): SynclineError {
    const why = cause instanceof Error ? `: ${cause.message}` : "";
    return new SynclineError("store_unreachable", `The S3 server at ${this.#shownHost()} does not answer${why}`, {
      hint: "Check the network and the endpoint. What is saved here is published once it answers.",
      cause,
    });
  }

  /** What an answer that nobody expected means, as an error. */
  refusal(answer: S3Answer, what: string): SynclineError {
    return refusalOf(answer, what, this.#shownHost(), this.#options.bucket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pool = await this.#pool?.catch(() => undefined);
    await pool?.destroy(new Error("the connection was closed"));
  }

  async #exchange(request: S3Request): Promise<S3Answer> {
    const { clock } = this.#options;
    this.counts[classOf(request)]++;
    const origin = await this.#origin();
    const path = targetOf(this.#options.style === "path" ? `/${this.#options.bucket}` : "", request);
    const length = request.body?.reduce((sum, piece) => sum + piece.length, 0);
    const sized = length === undefined && request.method !== "PUT" ? {} : { "content-length": String(length ?? 0) };
    const headers = await this.#signed(request, new URL(origin).host, path, { ...request.headers, ...sized });
    const answer = await exchange(await this.#dispatcher(origin), clock, origin, {
      method: request.method,
      path,
      headers,
      body: sentBody(request),
      silenceMs: SILENCE_MS,
      leastBytes: LEAST_BYTES,
      signal: request.signal,
    });
    return this.#read(request, answer);
  }

  async #read(request: S3Request, { status, headers, read }: ExchangeAnswer): Promise<S3Answer> {
    const body = await bodyOf(request.method === "HEAD" ? "0" : headers["content-length"], read);
    const date = Date.parse(String(headers.date ?? ""));
    if (!Number.isNaN(date)) this.#date = { serverMs: date, atMs: this.#options.clock.monotonicMs() };
    this.#newestMs = Math.max(this.#newestMs, Date.parse(String(headers["last-modified"] ?? "")) || 0);
    const flat = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
    const error = status < 300 ? undefined : parseError(Buffer.from(body).toString("utf8").slice(0, 65_536));
    return { status, headers: flat, body, error };
  }

  /** Whether the refusal taught something that makes the same request pass. */
  async #learn({ status, headers, error }: S3Answer): Promise<boolean> {
    if (error === undefined) return false;
    const { code } = error;
    if (code === "RequestTimeTooSkewed" || code === "RequestExpired") {
      if (this.#date === undefined) return false;
      this.#skewMs = this.#date.serverMs - Number(this.#options.clock.nowNs() / 1_000_000n);
      return true;
    }
    if (code === "ExpiredToken" || code === "ExpiredTokenException" || code === "TokenRefreshRequired") {
      this.#credentials.forget();
      return true;
    }
    const region = headers["x-amz-bucket-region"] ?? error.region;
    const isElsewhere = status === 301 || status === 307 || code === "AuthorizationHeaderMalformed";
    if (!isElsewhere || region === undefined || region === (await this.#region)) return false;
    this.#region = Promise.resolve(region);
    await this[Symbol.asyncDispose]();
    this.#pool = undefined;
    return true;
  }

  async #signed(
    request: S3Request,
    host: string,
    path: string,
    headers: Record<string, string>,
  ): Promise<Record<string, string>> {
    const { bearer, clock } = this.#options;
    if (bearer !== undefined) return { ...headers, authorization: `Bearer ${await bearer()}` };
    const at = new Date(Number(clock.nowNs() / 1_000_000n) + this.#skewMs);
    const signing = {
      host,
      method: request.method,
      path,
      service: "s3",
      region: await this.#regionName(),
      headers: {
        ...headers,
        host,
        "x-amz-date": at.toISOString().replace(/[:-]|\.\d{3}/g, ""),
        "x-amz-content-sha256": sha256Of(request.body),
      },
    };
    const { accessKeyId, secretAccessKey, sessionToken } = await this.#credentials.get();
    aws4.sign(signing, { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) });
    return signing.headers;
  }

  #regionName(): Promise<string> {
    return (this.#region ??= Promise.resolve(this.#options.region ?? regionOf(this.#options.env ?? process.env)).then(
      (region) => region ?? "us-east-1",
    ));
  }

  async #origin(): Promise<string> {
    const { endpoint, bucket, style } = this.#options;
    const url = new URL(endpoint ?? `https://s3.${await this.#regionName()}.amazonaws.com`);
    return style === "virtual" ? `${url.protocol}//${bucket}.${url.host}` : url.origin;
  }

  async #dispatcher(origin: string): Promise<Pick<Dispatcher, "dispatch">> {
    return this.#options.dispatcher ?? (this.#pool ??= openPool(origin));
  }

  #shownHost(): string {
    const { endpoint } = this.#options;
    return endpoint === undefined ? "amazonaws.com" : new URL(endpoint).host;
  }
}

/** Whether the server failed or was busy. The request may have taken effect anyway. */
export function isTrouble({ status }: S3Answer): boolean {
  return status >= 500 || status === 429 || status === 408;
}

/** The whole body. Throws `Unanswered` if it is truncated or too long. */
async function bodyOf(promised: string | undefined, read: ExchangeAnswer["read"]): Promise<Uint8Array> {
  const length = promised === undefined ? undefined : Number(promised);
  if (length !== undefined && !(length <= MAX_ANSWER)) {
    await read(() => "enough").catch(() => {});
    throw new Unanswered(true, new Error("the answer is too long"));
  }
  const whole = length === undefined ? undefined : new Uint8Array(length);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  await read((part) => {
    if (bytes + part.length > (length ?? MAX_ANSWER)) return "enough";
    if (whole === undefined) parts.push(Uint8Array.from(part));
    else whole.set(part, bytes);
    bytes += part.length;
    return "more";
  });
  if (length !== undefined && bytes !== length) throw new Unanswered(true, new Error("the answer was cut"));
  return whole ?? new Uint8Array(Buffer.concat(parts));
}

async function openPool(origin: string): Promise<Pool> {
  const { Pool } = await import("undici");
  return new Pool(origin, {
    connections: CONNECTIONS,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    connect: { timeout: CONNECT_MS },
    maxHeaderSize: MAX_HEADERS,
  });
}

function refusalOf({ status, error }: S3Answer, what: string, host: string, bucket: string): SynclineError {
  const said = [error?.code, error?.message].filter((text) => text !== undefined && text !== "").join(": ");
  const message = `${host} refused ${what} (${status}${said === "" ? "" : ` ${said}`}).`;
  switch (error?.code) {
    case "NoSuchBucket":
      return new SynclineError("store_failed", `${host} has no S3 bucket ${bucket}.`, {
        hint: "Make the S3 bucket with your provider's tools, or correct the address.",
      });
    case "AccessDenied":
    case "AllAccessDisabled":
    case "Forbidden":
      return new SynclineError("store_failed", message, {
        hint: "The key needs s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket on this bucket.",
      });
    case "InvalidAccessKeyId":
    case "SignatureDoesNotMatch":
    case "InvalidToken":
    case "XAdminUserNotFound":
      return new SynclineError("bad_token", message, { hint: "Check the access key, its secret, and the region." });
    case "QuotaExceeded":
    case "InsufficientStorage":
    case "XMinioStorageFull":
    case "InsufficientCapacity":
      return new SynclineError("disk_full", message, { hint: "Make room in the S3 account, or raise its quota." });
    default: {
      if (status === 507) return new SynclineError("disk_full", message);
      if (status === 401 || status === 403) return new SynclineError("bad_token", message);
      return new SynclineError("store_failed", message);
    }
  }
}
