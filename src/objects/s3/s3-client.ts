/**
 * Signed requests to one S3 bucket, over a pool of keep-alive sockets. Reads are tried again; a write is sent once, since
 * only its caller can tell what a lost answer means.
 */
import type { Dispatcher } from "undici";
import { Budget } from "../../base/budget.ts";
import { SynclineError } from "../../base/errors.ts";
import { MAX_OBJECT_BYTES } from "../../base/limits.ts";
import type { Ports } from "../../base/ports.ts";
import type { RateLimit } from "../../base/rate-limit.ts";
import type { RequestCounts } from "../object-store.ts";
import { exchange, type ExchangeAnswer } from "../../net/exchange.ts";
import { isGivenUp, type Patience, TimeToWait } from "../../net/patience.ts";
import { Unanswered } from "../../net/unanswered.ts";
import type { Bearer } from "../../net/bearer.ts";
import type { LivePool } from "../../net/live-pool.ts";
import { isUntrustedCause, openPool, trustHint } from "../../net/pool.ts";
import { SendingRate } from "../../net/sending-rate.ts";
import { bodyOf, passOn, type SentBody, tooLong } from "./answer-body.ts";
import type { Environment } from "./credentials.ts";
import { refusalOf } from "./s3-refusal.ts";
import { classOf, parseError, type S3Answer, type S3Request, sentBody, targetOf } from "./s3-request.ts";
import { type Signed, Signer } from "./signer.ts";

export interface S3Location {
  readonly bucket: string;
  /** Scheme, host and port. Undefined: AWS. */
  readonly endpoint: string | undefined;
  /** Undefined: from the environment, else us-east-1; the server's word counts more. */
  readonly region: string | undefined;
  /** Whether the bucket is a part of the path or of the host's name. */
  readonly style: "path" | "virtual";
}

export interface S3ClientOptions extends S3Location, Pick<Ports, "clock" | "random"> {
  readonly env?: Environment;
  /** In place of signatures, for gateways that take a wallet's. */
  readonly bearer?: Bearer | undefined;
  /** PEM certificates that are trusted beside those of the system. */
  readonly tlsCa?: string | undefined;
  /** How long requests wait for a server that is away. Absent: not longer than a few tries take. */
  readonly patience?: Patience | undefined;
  /** Limits everything that is sent and received. */
  readonly limit?: RateLimit | undefined;
  /** Replaces sockets: a simulation's network. */
  readonly dispatcher?: Pick<Dispatcher, "dispatch"> | undefined;
}

/** A request is given up when nothing moves for this long. */
const SILENCE_MS = 10_000;
/** A gateway may accept a body faster than it stores it. After the body, the answer may take as long as storing at this rate. */
const STORED_BYTES_PER_S = 256 * 1024;
/** How long a server may take to join the parts of an object. */
const JOIN_MS = 120_000;
const LEAST_BYTES = 1_024;
const MAX_REFUSAL = 1_024 * 1_024;
const NOTHING = new Uint8Array();
/** How far an object's date may be ahead of the server's. */
const MOST_AHEAD_MS = 5_000;
const TRIES = 6;
const FIRST_WAIT_MS = 50;
const LAST_WAIT_MS = 3_000;

const POOL = {
  connections: 32,
  connectMs: 5_000,
  maxHeaderSize: 32 * 1_024,
  /** A network that changed leaves dead connections behind. */
  keepAliveMs: 8_000,
};

interface Sent {
  readonly answer: S3Answer;
  readonly signed: Signed;
}

export class S3Client implements AsyncDisposable {
  readonly counts: RequestCounts = { put: 0, list: 0, get: 0, delete: 0, refused: 0 };
  readonly #options: S3ClientOptions;
  readonly #signer: Signer;
  /** By origin: at AWS each region is one. */
  readonly #pools = new Map<string, Promise<LivePool>>();
  readonly #connections = new Budget(POOL.connections);
  readonly #rate: SendingRate;
  readonly #time: TimeToWait | undefined;
  /** For puts: a busy server may refuse them and answer all else. Undefined: there is no patience. */
  readonly putTime: TimeToWait | undefined;
  readonly #silenceMs: number;
  /** The server's date in its last answer, and when that came. */
  #date: { readonly serverMs: number; readonly atMs: number } | undefined;
  /** The newest date of an object: a second ahead of the server's date at most, unless the server's clock was wrong. */
  #newestMs = 0;

  constructor(options: S3ClientOptions) {
    this.#options = options;
    this.#signer = new Signer(options);
    const { patience, clock, random } = options;
    this.#rate = new SendingRate(clock);
    this.#time = patience && new TimeToWait({ ...patience, clock, random });
    this.putTime = patience && new TimeToWait({ ...patience, clock, random });
    this.#silenceMs = Math.min(SILENCE_MS, patience?.silenceMs ?? SILENCE_MS);
  }

  /** The server's date now, to the second as its objects' dates; undefined before its first answer. */
  get serverMs(): number | undefined {
    if (this.#date === undefined) return undefined;
    const ms = this.#date.serverMs + this.#options.clock.monotonicMs() - this.#date.atMs;
    const dateMs = Math.floor(ms / 1_000) * 1_000;
    return Math.max(dateMs, Math.min(this.#newestMs, dateMs + MOST_AHEAD_MS));
  }

  /**
   * Sends once; again only where the server did nothing: it said why (our clock, our region, credentials that ended), or got
   * nothing while there is patience. Throws `Unanswered`, the signal's reason, `bad_token`.
   */
  async send(request: S3Request): Promise<S3Answer> {
    for (let lessons = 0; ; lessons++) {
      const sent = await this.#untilSent(request);
      const told = isMute(request, sent.answer) ? await this.#exchange(withBody(request)) : sent;
      // Another request may have learnt it meanwhile.
      const passes = told !== sent && (told.answer.error === undefined || told.answer.status === 416);
      const mayLearn = lessons < this.#signer.lessons;
      if (mayLearn && (passes || (await this.#signer.learn(told.answer, told.signed)))) continue;
      if (sent.answer.status === 412) this.counts.refused++;
      return passes ? sent.answer : told.answer;
    }
  }

  /** Sends until there is an answer that is not the server's trouble. Throws `store_unreachable`. */
  async read(request: S3Request): Promise<S3Answer> {
    for (let attempt = 0; ; attempt++) {
      const failure = await this.#tryToRead(request);
      if (!(failure instanceof Error)) return failure;
      const error = this.unreachable(failure);
      if (isUntrustedCause(failure) || isGivenUp(failure)) throw error;
      if (this.#time !== undefined) {
        if (!(await this.#time.pause(error, attempt, request.signal))) throw error;
      } else {
        if (attempt + 1 === TRIES) throw error;
        await this.backOff(attempt + 1, request.signal);
      }
    }
  }

  /** The answer. An error if there is none, or if the server is in trouble. */
  async #tryToRead(request: S3Request): Promise<S3Answer | Error> {
    try {
      const answer = await this.send(request);
      return isTrouble(answer) ? new Error(`${answer.status} ${answer.error?.code ?? ""}`.trim()) : answer;
    } catch (cause) {
      if (cause instanceof Unanswered) return cause;
      throw cause;
    }
  }

  async #untilSent(request: S3Request): Promise<Sent> {
    for (let repeats = 0; ; repeats++) {
      try {
        const sent = await this.#exchange(request);
        if (!isTrouble(sent.answer)) this.#answered(request);
        return sent;
      } catch (cause) {
        if (!(cause instanceof Unanswered) || cause.sent || isUntrustedCause(cause)) throw cause;
        if (!(await this.#time?.pause(this.unreachable(cause), repeats, request.signal))) throw cause;
      }
    }
  }

  #answered({ method }: S3Request): void {
    this.#time?.answered();
    if (method === "PUT" || method === "POST") this.putTime?.answered();
  }

  /** Waits before the attempt of this number, longer each time, half of it at random. */
  backOff(attempt: number, signal?: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    const ms = Math.min(FIRST_WAIT_MS * 2 ** attempt, LAST_WAIT_MS);
    return clock.sleep(ms * (0.5 + random.fraction() / 2), signal);
  }

  unreachable(cause: unknown): SynclineError {
    const why = cause instanceof Error ? `: ${cause.message}` : "";
    return new SynclineError("store_unreachable", `The S3 server at ${this.#shownHost()} does not answer${why}.`, {
      hint: isUntrustedCause(cause)
        ? trustHint(cause)
        : "Check the network and the endpoint (http or https?). A mount publishes once it answers; run a command again then.",
      cause,
    });
  }

  /** What an answer that nobody expected means, as an error. */
  refusal(answer: S3Answer, what: string): SynclineError {
    const { bucket, bearer } = this.#options;
    return refusalOf(answer, what, { host: this.#shownHost(), bucket, wallet: bearer !== undefined });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#pools.values()) {
      const pool = await opened.catch(() => undefined);
      await pool?.destroy(new Error("the connection was closed"));
    }
  }

  async #exchange(request: S3Request): Promise<Sent> {
    const { clock, style, bucket, limit, patience } = this.#options;
    this.counts[classOf(request)]++;
    const region = await this.#signer.region();
    const origin = this.#originIn(region);
    const path = targetOf(style === "path" ? `/${bucket}` : "", request);
    const length = request.body?.reduce((sum, piece) => sum + piece.length, 0);
    const sized = length === undefined && request.method !== "PUT" ? {} : { "content-length": String(length ?? 0) };
    const headers = { ...request.headers, ...sized };
    const storingMs =
      request.method === "POST" ? JOIN_MS : this.#silenceMs + ((length ?? 0) / STORED_BYTES_PER_S) * 1_000;
    // What the system has yet to send is not the server's silence.
    const mostMs = patience?.silenceMs === undefined ? Infinity : patience.ms;
    // Waiting for a connection is not the server's silence.
    using _connection = await this.#connections.hold(1, request.signal);
    const signed = await this.#signer.sign({ request, host: new URL(origin).host, path, headers, region });
    const dispatcher = await this.#dispatcher(origin);
    const answer = await this.#rate.timed(length ?? 0, this.#silenceMs, (aheadMs) =>
      exchange(dispatcher, clock, origin, {
        method: request.method,
        path,
        headers: signed.headers,
        body: sentBody(request),
        silenceMs: this.#silenceMs,
        sendingMs: this.#silenceMs + aheadMs / 3,
        answerMs: Math.min(storingMs, mostMs) + aheadMs,
        leastBytes: LEAST_BYTES,
        signals: request.signal === undefined ? [] : [request.signal],
        limit,
      }),
    );
    return { answer: await this.#read(request, answer), signed };
  }

  async #read(request: S3Request, { status, headers, read }: ExchangeAnswer): Promise<S3Answer> {
    const { take, atMost } = request;
    const promised = request.method === "HEAD" ? "0" : headers["content-length"];
    const sent: SentBody = {
      promised,
      most: status < 300 ? (atMost?.bytes ?? MAX_OBJECT_BYTES) : MAX_REFUSAL,
      exceeded: (status < 300 ? atMost?.exceeded : undefined) ?? tooLong,
      read,
    };
    if (isForeign(request, status, headers)) {
      await bodyOf({ promised, most: MAX_REFUSAL, exceeded: foreign, read });
      throw foreign();
    }
    let body: Uint8Array = NOTHING;
    if (take !== undefined && status < 300) await passOn(sent, (at, part) => take(status, at, part));
    else body = await bodyOf(sent);
    const date = Date.parse(String(headers.date ?? ""));
    if (!Number.isNaN(date)) this.#date = { serverMs: date, atMs: this.#options.clock.monotonicMs() };
    this.#newestMs = Math.max(this.#newestMs, Date.parse(String(headers["last-modified"] ?? "")) || 0);
    const flat = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
    const error = status < 300 ? undefined : parseError(Buffer.from(body).toString("utf8").slice(0, 65_536));
    return { status, headers: flat, body, error };
  }

  #originIn(region: string): string {
    const { endpoint, bucket, style } = this.#options;
    const url = new URL(endpoint ?? `https://s3.${region}.amazonaws.com`);
    return style === "virtual" ? `${url.protocol}//${bucket}.${url.host}` : url.origin;
  }

  async #dispatcher(origin: string): Promise<Pick<Dispatcher, "dispatch">> {
    const { dispatcher, clock, tlsCa } = this.#options;
    if (dispatcher !== undefined) return dispatcher;
    const pool = this.#pools.get(origin) ?? openPool(origin, { ...POOL, clock, tlsCa });
    this.#pools.set(origin, pool);
    return pool;
  }

  #shownHost(): string {
    const { endpoint } = this.#options;
    return endpoint === undefined ? "amazonaws.com" : new URL(endpoint).host;
  }
}

/** Whether a refusal's code is missing since answers to HEAD have no body. */
function isMute({ method }: S3Request, { status }: S3Answer): boolean {
  return method === "HEAD" && status >= 300 && status < 500 && status !== 429 && status !== 408;
}

/** The cheapest request that is refused as a HEAD is, and says why. */
function withBody(request: S3Request): S3Request {
  return { ...request, method: "GET", headers: { ...request.headers, range: "bytes=0-0" } };
}

/**
 * Whether a success comes from something else, such as a proxy's maintenance page or a sign-in page: S3 tags each object that
 * it stores or sends. What became of the request is not known then.
 */
function isForeign({ method, key }: S3Request, status: number, headers: ExchangeAnswer["headers"]): boolean {
  if (key === undefined || method === "POST" || status >= 300) return false;
  if (method === "DELETE") return /^text\/html\b/i.test(headers["content-type"] ?? "");
  return status === 200 && headers["etag"] === undefined;
}

function foreign(): Unanswered {
  return new Unanswered(true, new Error("a page came in place of its answer, as from a proxy or a sign-in"));
}

/** Whether the server failed, was busy, or lost patience with a slow line. The request may have taken effect anyway. */
export function isTrouble({ status, error }: S3Answer): boolean {
  return status >= 500 || status === 429 || status === 408 || PASSING.has(error?.code ?? "");
}

/** Sent with status 400. */
const PASSING: ReadonlySet<string> = new Set(["RequestTimeout", "Throttling", "ThrottlingException"]);
