/**
 * The connection to one master: a pool of kept-alive sockets to its origin, a bearer with each call, and nothing that happens
 * behind a caller's back: no redirects, no proxies, no retries. What a master answers is bounded before it is believed.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher, Pool } from "undici";
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
import { errorOf, refusalOf, type Refusal } from "./answer-errors.ts";
import type { Bearer } from "./bearer.ts";
import { parseCapabilities, type Capabilities } from "./capabilities.ts";
import { exchange, Unanswered, type ExchangeAnswer, type Take } from "./exchange.ts";
import { checkOrigin } from "./origin.ts";

export interface MasterRequest {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** Path and query, encoded. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  /** Statuses that the caller understands; any other is thrown. Default: 200. */
  readonly statuses?: readonly number[];
  /** Called without a bearer. */
  readonly open?: boolean;
  /** Given up when nothing moves for so long; MASTER_SILENCE_MS unless said. */
  readonly silenceMs?: number;
  /** The answer is a stream of events, which may be silent but for `silenceMs`. */
  readonly events?: boolean;
  /** Whether a caller that waits for the master may have it sent again when it got no answer. Absent: it may. */
  readonly again?: "if not received" | "never";
  readonly signal?: AbortSignal;
}

export interface RequestBody {
  readonly type: string;
  readonly bytes: number;
  /** Read anew each time that it is sent. */
  readonly pieces: Iterable<Uint8Array>;
}

export interface MasterAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** To be read, to its end or a part of it: this, `read` or `json`, for the connection stays taken until then. Throws `store_unreachable`. */
  readonly body: AsyncIterable<Uint8Array>;
  /** The body as it comes, in memory that is used again (net/exchange.ts). Throws `store_unreachable`, and what `take` throws. */
  read(take: Take): Promise<void>;
  /** The whole body as JSON. Throws `store_unreachable`, `limit_exceeded`, `store_failed` when it is none. */
  json(): Promise<unknown>;
}

/** Where calls go: one master, or the first of several that answers. */
export interface Master extends AsyncDisposable {
  /** For people. */
  readonly address: string;
  /** Throws `store_unreachable` (with an `Unanswered` as its cause), the refusal as an error, and as the bearer does. */
  call(request: MasterRequest): Promise<MasterAnswer>;
  /** Asked once, before anything else. Throws `store_unreachable`, `not_supported`. */
  capabilities(): Promise<Capabilities>;
}

export interface ConnectionOptions {
  readonly bearer: Bearer;
  readonly clock: Clock;
  /** PEM certificates that are trusted beside those of the system. */
  readonly tlsCa?: string | undefined;
  /** Bearers may go in clear to other machines. */
  readonly insecure?: boolean | undefined;
  /** Instead of sockets: a simulation's network. */
  readonly dispatcher?: Pick<Dispatcher, "dispatch"> | undefined;
}

export class MasterConnection implements Master {
  readonly address: string;
  readonly #options: ConnectionOptions;
  #pool: Promise<Pool> | undefined;
  #capabilities: Promise<Capabilities> | undefined;

  /** Connects when it is first used. Throws `bad_address` where a bearer must not go. */
  constructor(origin: string, options: ConnectionOptions) {
    checkOrigin(origin, options.insecure ?? false);
    this.address = origin;
    this.#options = options;
  }

  capabilities(): Promise<Capabilities> {
    const asked = (this.#capabilities ??= this.#probe());
    asked.catch(() => (this.#capabilities = undefined));
    return asked;
  }

  async call(request: MasterRequest): Promise<MasterAnswer> {
    const { bearer } = this.#options;
    const token = request.open === true ? undefined : await bearer.token();
    const answer = this.#bounded(await this.#send(request, token));
    if ((request.statuses ?? [200]).includes(answer.status)) return answer;
    const refusal = await refusalIn(answer);
    if (answer.status !== 401 || token === undefined) throw errorOf(this.address, refusal);
    bearer.refused(token);
    // Whom a master does not know it does nothing for: no call has taken place, not even a swap.
    const fresh = await bearer.token();
    if (fresh === token) throw errorOf(this.address, refusal);
    return this.#again(request, fresh);
  }

  /** The same call with another token, once. */
  async #again(request: MasterRequest, token: string): Promise<MasterAnswer> {
    const answer = this.#bounded(await this.#send(request, token));
    if ((request.statuses ?? [200]).includes(answer.status)) return answer;
    throw errorOf(this.address, await refusalIn(answer));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pool = await this.#pool?.catch(() => undefined);
    await pool?.destroy(new Error("the connection was closed"));
  }

  async #send(request: MasterRequest, token: string | undefined): Promise<ExchangeAnswer> {
    const { method, path, body, signal, events = false, silenceMs = MASTER_SILENCE_MS } = request;
    const headers = {
      ...request.headers,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": body.type, "content-length": String(body.bytes) }),
    };
    try {
      return await exchange(await this.#dispatcher(), this.#options.clock, this.address, {
        method,
        path,
        headers,
        body: body?.pieces,
        silenceMs,
        leastBytes: events ? 0 : MASTER_LEAST_BYTES,
        signal,
      });
    } catch (cause) {
      throw this.#unreachable(cause);
    }
  }

  async #dispatcher(): Promise<Pick<Dispatcher, "dispatch">> {
    return this.#options.dispatcher ?? (this.#pool ??= openPool(this.address, this.#options.tlsCa));
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
    // Who comes back may be another version.
    this.#capabilities = undefined;
    return new SynclineError("store_unreachable", `${this.address} does not answer: ${cause.message}.`, {
      hint: isUntrustedCause(cause)
        ? "If this is the master that you mean, name the certificate that vouches for it: --tls-ca FILE."
        : "Check that the master runs, that the address is right, and that the network leads there.",
      cause,
    });
  }

  async #probe(): Promise<Capabilities> {
    const request = { method: "GET", path: "/fula/capabilities", open: true, statuses: ANY_STATUS } as const;
    const answer = await this.call(request);
    if (answer.status >= 500) throw errorOf(this.address, await refusalIn(answer));
    const said = answer.json().catch((error: unknown) => {
      // What broke off says nothing of who answers; whatever else it is, it is no list of capabilities.
      if (hasCode(error, "store_unreachable")) throw error;
    });
    return parseCapabilities(this.address, await said);
  }
}

/** Reads a refusal, whatever its body is. Throws `store_unreachable` if the body broke off and the status alone does not say what was refused. */
export async function refusalIn(answer: MasterAnswer): Promise<Refusal> {
  const said = answer.json().catch((error: unknown) => {
    if (TOLD_BY_BODY.has(answer.status) && hasCode(error, "store_unreachable")) throw error;
  });
  return refusalOf(answer.status, await said);
}

const TOLD_BY_BODY: ReadonlySet<number> = new Set([409, 412]);

/** Whether the request that failed like this may have reached the master. */
export function maybeReceived(error: unknown): boolean {
  return !(error instanceof SynclineError && error.cause instanceof Unanswered && !error.cause.sent);
}

/** Whether the master could not prove who it is: another try would end the same way. */
export function isUntrusted(error: unknown): boolean {
  return error instanceof SynclineError && (isUntrustedCause(error.cause) || isUntrusted(error.cause));
}

function isUntrustedCause(cause: unknown): boolean {
  return cause instanceof Unanswered && UNTRUSTED.test(codeOf(cause.cause));
}

/** What OpenSSL calls a certificate that nobody vouches for, or that is another host's. */
const UNTRUSTED = /CERT|SIGNATURE/;

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

const ANY_STATUS = Array.from({ length: 400 }, (_, index) => 200 + index);

async function readJson(address: string, body: AsyncIterable<Uint8Array>): Promise<unknown> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > MAX_JSON_BYTES) {
      throw new SynclineError("limit_exceeded", `${address} answers with more than ${MAX_JSON_BYTES} bytes of JSON.`);
    }
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString("utf8"));
  } catch (cause) {
    throw new SynclineError("store_failed", `${address} answers with something that is no JSON.`, {
      hint: "Is this the address of a master, and does nothing stand in between?",
      cause,
    });
  }
}

/** Loaded when it is needed: commands that speak to no master do without. Throws `config_invalid` for bad certificates. */
async function openPool(origin: string, tlsCa: string | undefined): Promise<Pool> {
  const { Pool } = await import("undici");
  const connect = { timeout: MASTER_CONNECT_MS, ...(await secureContextOf(tlsCa)) };
  return new Pool(origin, {
    connections: MASTER_CONNECTIONS,
    pipelining: 1,
    maxHeaderSize: MAX_HEADER_BYTES,
    connect,
  });
}

/** These certificates beside those that Node.js trusts. */
async function secureContextOf(tlsCa: string | undefined) {
  if (tlsCa === undefined) return {};
  const { createSecureContext, rootCertificates } = await import("node:tls");
  try {
    // A context is made of any text: what holds no certificate would only show as a master that nobody vouches for.
    if (!tlsCa.includes("-----BEGIN CERTIFICATE-----")) throw new RangeError("there is none in the file");
    return { secureContext: createSecureContext({ ca: [...rootCertificates, tlsCa] }) };
  } catch (cause) {
    throw new SynclineError("config_invalid", `The certificates of --tls-ca cannot be used: ${String(cause)}`, {
      hint: "The file holds certificates in PEM form: -----BEGIN CERTIFICATE-----.",
      cause,
    });
  }
}
