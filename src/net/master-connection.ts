/**
 * The connection to one master: a pool of keep-alive sockets, and a bearer on each call. There are no hidden redirects,
 * proxies or retries. A master's answers are size-limited before they are trusted.
 *
 * undici's dispatcher tells when a request reaches a connection: a swap that failed before has not happened, after that it may
 * have. undici's other calls may send a request again, and their headers time-out ends slow uploads that move.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher } from "undici";
import type { Clock } from "../base/clock.ts";
import { hasCode, SynclineError } from "../base/errors.ts";
import {
  MASTER_CONNECT_MS,
  MASTER_CONNECTIONS,
  MAX_JSON_BYTES,
  MASTER_LEAST_BYTES,
  MASTER_SILENCE_MS,
  MAX_HEADER_BYTES,
} from "../base/limits.ts";
import type { RateLimit } from "../base/rate-limit.ts";
import { errorOf, refusalOf, type Refusal } from "./answer-errors.ts";
import type { Bearer } from "./bearer.ts";
import { parseCapabilities, type Capabilities } from "./capabilities.ts";
import { exchange, type ExchangeAnswer, type Take } from "./exchange.ts";
import { SendingRate } from "./sending-rate.ts";
import { Unanswered } from "./unanswered.ts";
import { checkOrigin } from "./origin.ts";
import type { LivePool } from "./live-pool.ts";
import { isUntrustedCause, openPool, trustHint } from "./pool.ts";

export interface MasterRequest {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** Path and query, encoded. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  /** Statuses that the caller handles; any other is thrown. Default: 200. */
  readonly statuses?: readonly number[];
  /** Sent without a bearer. */
  readonly open?: boolean;
  /** The call is aborted after this long without progress; default: the connection's. */
  readonly silenceMs?: number;
  /** The answer is a stream of events: only `silenceMs` limits its silence. */
  readonly events?: boolean;
  /** Whether a patient caller may resend this call when it got no answer. Absent: it may. */
  readonly again?: "if not received" | "never";
  readonly signal?: AbortSignal;
  /** Ends the call when the master is left for another one. */
  readonly left?: AbortSignal;
}

export interface RequestBody {
  readonly type: string;
  readonly bytes: number;
  /** Iterated anew for each attempt. */
  readonly pieces: Iterable<Uint8Array>;
}

export interface MasterAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Must be consumed by this, `read` or `json`: the connection stays busy until then. Throws `store_unreachable`. */
  readonly body: AsyncIterable<Uint8Array>;
  /** The body as it arrives, in reused memory (net/exchange.ts). Throws `store_unreachable`, and whatever `take` throws. */
  read(take: Take): Promise<void>;
  /** The whole body as JSON. Throws `store_unreachable`, `limit_exceeded`, and `store_failed` for invalid JSON. */
  json(): Promise<unknown>;
  /** Leaves the master that gave this answer. True if there is another healthy one to ask. Absent: there is one only. */
  leave?(why: string): boolean;
}

/** One of several masters, for people. */
export interface MasterReport {
  readonly address: string;
  /** Calls go there. */
  readonly used: boolean;
  /** Why it was left; null while it is healthy. */
  readonly left: string | null;
  /** Moving average of its health check; null before the first. */
  readonly latencyMs: number | null;
}

/** The target of calls: one master, or the first of several that answers. */
export interface Master extends AsyncDisposable {
  /** For display. */
  readonly address: string;
  /** Throws `store_unreachable` (cause: an `Unanswered`), the refusal as an error, and the bearer's errors. */
  call(request: MasterRequest): Promise<MasterAnswer>;
  /** Fetched once, before anything else. Throws `store_unreachable`, `not_supported`. */
  capabilities(): Promise<Capabilities>;
  /** The masters behind it. Absent: it is one. */
  members?(): MasterReport[];
  /** Repeats work that throws `store_unreachable` or `arbiter_unreachable`, as long as calls wait. Absent: they do not. */
  patiently?<Result>(work: () => Promise<Result>): Promise<Result>;
}

export interface ConnectionOptions {
  readonly bearer: Bearer;
  readonly clock: Clock;
  /** PEM certificates that are trusted beside those of the system. */
  readonly tlsCa?: string | undefined;
  /** Limits everything that is sent and received. */
  readonly limit?: RateLimit | undefined;
  /** What is known of the line. Absent: nothing yet. */
  readonly rate?: SendingRate;
  /** Bearers may be sent unencrypted to other machines. */
  readonly insecure?: boolean | undefined;
  /** A call is aborted after this long without progress, unless it says otherwise. Default: MASTER_SILENCE_MS. */
  readonly silenceMs?: number | undefined;
  /** Replaces sockets: a simulation's network. */
  readonly dispatcher?: Pick<Dispatcher, "dispatch"> | undefined;
}

/** The longest time for which a master's Retry-After is heeded. */
const REST_MAX_MS = 10_000;

const POOL = { connections: MASTER_CONNECTIONS, connectMs: MASTER_CONNECT_MS, maxHeaderSize: MAX_HEADER_BYTES };

export class MasterConnection implements Master {
  readonly address: string;
  readonly #options: ConnectionOptions;
  readonly #rate: SendingRate;
  #pool: Promise<LivePool> | undefined;
  #capabilities: Promise<Capabilities> | undefined;
  /** The server asked not to be called before. */
  #restsUntilMs = -Infinity;

  /** Connects on first use. Throws `bad_address` where a bearer must not be sent. */
  constructor(origin: string, options: ConnectionOptions) {
    checkOrigin(origin, options.insecure ?? false);
    this.address = origin;
    this.#options = options;
    this.#rate = options.rate ?? new SendingRate(options.clock);
  }

  capabilities(): Promise<Capabilities> {
    const asked = (this.#capabilities ??= this.#probe());
    asked.catch(() => (this.#capabilities = undefined));
    return asked;
  }

  async call(request: MasterRequest): Promise<MasterAnswer> {
    const { bearer } = this.#options;
    const token = request.open === true ? undefined : await bearer.token();
    const answer = await this.#answer(request, token);
    if ((request.statuses ?? [200]).includes(answer.status)) return answer;
    const refusal = await refusalIn(answer);
    if (answer.status !== 401 || token === undefined) throw errorOf(this.address, refusal);
    bearer.refused(token);
    // A master does nothing for an unknown caller, so the call, even a swap, has not taken place.
    const fresh = await bearer.token();
    if (fresh === token) throw errorOf(this.address, refusal);
    return this.#again(request, fresh);
  }

  /** Repeats the call once with another token. */
  async #again(request: MasterRequest, token: string): Promise<MasterAnswer> {
    const answer = await this.#answer(request, token);
    if ((request.statuses ?? [200]).includes(answer.status)) return answer;
    throw errorOf(this.address, await refusalIn(answer));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pool = await this.#pool?.catch(() => undefined);
    await pool?.destroy(new Error("the connection was closed"));
  }

  async #answer(request: MasterRequest, token: string | undefined): Promise<MasterAnswer> {
    const answer = this.#bounded(await this.#send(request, token));
    const stranger = request.open === true ? undefined : strangerBehind(answer);
    if (stranger === undefined) return answer;
    await refusalIn(answer);
    throw new SynclineError("store_unreachable", `${this.address} is answered by ${stranger}, not by a master.`, {
      hint: "If this network wants a login, open any page in a browser. Check the address, and that no proxy interferes.",
      cause: new NotAMaster(stranger),
    });
  }

  async #send(request: MasterRequest, token: string | undefined): Promise<ExchangeAnswer> {
    const { method, path, body, signal, left, events = false } = request;
    const silenceMs = request.silenceMs ?? this.#options.silenceMs ?? MASTER_SILENCE_MS;
    const headers = {
      ...request.headers,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": body.type, "content-length": String(body.bytes) }),
    };
    if (request.open !== true) await this.#rest([signal, left]);
    try {
      const dispatcher = await this.#dispatcher();
      const answer = await this.#rate.timed(body?.bytes ?? 0, silenceMs, (aheadMs) =>
        exchange(dispatcher, this.#options.clock, this.address, {
          method,
          path,
          headers,
          body: body?.pieces,
          silenceMs,
          sendingMs: silenceMs + aheadMs / 3,
          answerMs: silenceMs + aheadMs,
          leastBytes: events ? 0 : MASTER_LEAST_BYTES,
          signals: [signal, left].filter((one) => one !== undefined),
          limit: this.#options.limit,
        }),
      );
      this.#noteRest(answer);
      return answer;
    } catch (cause) {
      throw this.#unreachable(cause);
    }
  }

  async #rest(signals: readonly (AbortSignal | undefined)[]): Promise<void> {
    const { clock } = this.#options;
    const ms = this.#restsUntilMs - clock.monotonicMs();
    if (ms > 0) await clock.sleep(ms, AbortSignal.any(signals.filter((one) => one !== undefined)));
  }

  #noteRest({ status, headers }: ExchangeAnswer): void {
    if (status !== 503 && status !== 429) return;
    // A date becomes NaN, and is not heeded.
    const ms = Math.min(Number(headers["retry-after"] ?? 0) * 1_000, REST_MAX_MS);
    if (ms > 0) this.#restsUntilMs = this.#options.clock.monotonicMs() + ms;
  }

  async #dispatcher(): Promise<Pick<Dispatcher, "dispatch">> {
    const { dispatcher, clock, tlsCa } = this.#options;
    return dispatcher ?? (this.#pool ??= openPool(this.address, { ...POOL, clock, tlsCa }));
  }

  #bounded({ status, headers, body, read }: ExchangeAnswer): MasterAnswer {
    const unreachable = (cause: unknown) => this.#unreachable(cause);
    const parts = (async function* () {
      try {
        yield* body;
      } catch (cause) {
        throw unreachable(cause);
      }
    })();
    const readParts = (take: Take) =>
      read(take).catch((cause: unknown) => {
        throw unreachable(cause);
      });
    return { status, headers, body: parts, read: readParts, json: () => readJson(this.address, parts) };
  }

  #unreachable(cause: unknown): unknown {
    if (!(cause instanceof Unanswered)) return cause;
    // After a reconnect the master may run another version.
    this.#capabilities = undefined;
    return new SynclineError("store_unreachable", `${this.address} does not answer: ${cause.message}.`, {
      hint: isUntrustedCause(cause)
        ? trustHint(cause)
        : "Check that the master is running, the address is right (http or https?), and the network can reach it.",
      cause,
    });
  }

  async #probe(): Promise<Capabilities> {
    const request = { method: "GET", path: "/fula/capabilities", open: true, statuses: ANY_STATUS } as const;
    const answer = await this.call(request);
    if (answer.status >= 500) throw errorOf(this.address, await refusalIn(answer));
    const said = answer.json().catch((error: unknown) => {
      // A broken connection says nothing about the server; any other failure means an invalid capabilities answer.
      if (hasCode(error, "store_unreachable")) throw error;
    });
    return parseCapabilities(this.address, await said);
  }
}

/** Reads a refusal. Throws `store_unreachable` if its body broke off and the status alone is ambiguous. */
export async function refusalIn(answer: MasterAnswer): Promise<Refusal> {
  const said = answer.json().catch((error: unknown) => {
    if (TOLD_BY_BODY.has(answer.status) && hasCode(error, "store_unreachable")) throw error;
  });
  return refusalOf(answer.status, await said);
}

const TOLD_BY_BODY: ReadonlySet<number> = new Set([409, 412]);

/** Whether the request that failed with this error may have reached the master. */
export function maybeReceived(error: unknown): boolean {
  return !(error instanceof SynclineError && error.cause instanceof Unanswered && !error.cause.sent);
}

/** Whether the master failed to prove its identity, or is none: retrying would end the same way. */
export function isUntrusted(error: unknown): boolean {
  if (!(error instanceof SynclineError)) return false;
  return error.cause instanceof NotAMaster || isUntrustedCause(error.cause) || isUntrusted(error.cause);
}

class NotAMaster extends Error {}

/** What answers in a master's place, as the login page of a network does. Masters send no pages, and redirect nobody. */
function strangerBehind({ status, headers }: MasterAnswer): string | undefined {
  if (status >= 300 && status < 400) return `a redirect (status ${status})`;
  return status < 300 && /^text\/html\b/i.test(headers["content-type"] ?? "") ? "a web page" : undefined;
}

const ANY_STATUS = Array.from({ length: 400 }, (_, index) => 200 + index);

async function readJson(address: string, body: AsyncIterable<Uint8Array>): Promise<unknown> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > MAX_JSON_BYTES) {
      throw new SynclineError("limit_exceeded", `${address} answered with more than ${MAX_JSON_BYTES} bytes of JSON.`);
    }
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString("utf8"));
  } catch (cause) {
    throw new SynclineError("store_failed", `${address} answered with invalid JSON.`, {
      hint: "Check that this is the address of a master and that no proxy interferes.",
      cause,
    });
  }
}
