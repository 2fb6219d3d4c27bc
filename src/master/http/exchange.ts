/** One request and its answer: finds the route, checks the bearer, runs the handler, replies, and counts. */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Wallet } from "../../base/ids.ts";
import { MAX_DISCARDED_BYTES, MAX_JSON_BYTES } from "../../base/limits.ts";
import { DISCARD_MS, JSON_GROWTH, MIN_BODY_BYTES_A_WINDOW } from "../limits.ts";
import { describeError } from "../../base/log.ts";
import { begunBody } from "./begun-body.ts";
import type { Bearer } from "./bearers.ts";
import { whenInTheWay } from "../../http/slow-clients.ts";
import { dispatch } from "./dispatch.ts";
import { answerTo } from "./failure.ts";
import type { Lane } from "../../http/lane.ts";
import type { RateLimits } from "./rate-limits.ts";
import { Refusal, refuseBody } from "./refusal.ts";
import { endAnswer, writeAnswer } from "./reply.ts";
import { isContinue, RequestBody } from "../../http/request-body.ts";
import type { Answer, Route } from "./route.ts";
import type { Router } from "./router.ts";
import type { FairBudget } from "../../http/fair-budget.ts";
import type { MasterParts } from "../parts.ts";

/** What all exchanges of a server share. */
export interface Service extends Pick<MasterParts, "bearers" | "endings" | "garbage" | "metrics" | "clock" | "log"> {
  readonly router: Router;
  /** Memory of JSON bodies, and of what they are parsed into. */
  readonly texts: FairBudget;
  readonly parses: FairBudget;
  readonly strangers: RateLimits;
}

/** Answers one request. Never throws. */
export async function answerRequest(
  service: Service,
  request: IncomingMessage,
  response: ServerResponse,
  lane: Lane,
): Promise<void> {
  await new Exchange(service, request, response, lane).run();
}

class Exchange {
  readonly #service: Service;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #body: RequestBody;
  readonly #lane: Lane;
  readonly #ended = new AbortController();
  readonly #atEnd: (() => void)[] = [];
  #route: Route | undefined;
  #wallet: Wallet | undefined;
  #isPaced = false;
  #forget = () => {};

  constructor(service: Service, request: IncomingMessage, response: ServerResponse, lane: Lane) {
    this.#service = service;
    this.#request = request;
    this.#response = response;
    this.#lane = lane;
    this.#body = new RequestBody(request, response, {
      clock: service.clock,
      refuse: refuseBody,
      leastBytes: MIN_BODY_BYTES_A_WINDOW,
    });
    const gone = () => this.#ended.abort(new DOMException("the client went away", "AbortError"));
    this.#atEnd.push(lane.onClose(gone));
  }

  async run(): Promise<void> {
    const { clock, log } = this.#service;
    const fromMs = clock.monotonicMs();
    let sent = 0;
    let status = 0;
    try {
      const answer = await this.#answer();
      status = answer.status;
      sent = await this.#reply(answer);
    } catch (error) {
      if (!isAbort(error)) log.warn(`${this.#name} was cut off: ${describeError(error)}`);
      this.#cut();
    } finally {
      for (const act of this.#atEnd) act();
      this.#count(status, sent, clock.monotonicMs() - fromMs);
    }
  }

  async #answer(): Promise<Answer> {
    try {
      return await this.#handle();
    } catch (error) {
      // The client is gone.
      if (isAbort(error)) throw error;
      if (this.#wallet === undefined && !this.#isPaced) await this.#pace();
      return answerTo(error, this.#service.log, this.#name);
    } finally {
      this.#forget();
    }
  }

  async #handle(): Promise<Answer> {
    this.#checkHead();
    return dispatch(this.#service, {
      method: this.#request.method ?? "",
      target: this.#request.url ?? "",
      headers: this.#request.headers,
      body: (maxBytes, isInTheWay) => this.#body.read(maxBytes, isInTheWay),
      json: (owner) => this.#json(owner),
      signal: this.#ended.signal,
      peer: {
        connection: this.#request.socket,
        address: this.#request.socket.remoteAddress,
        signal: this.#ended.signal,
      },
      pace: () => this.#pace(),
      onRoute: (route) => (this.#route = route),
      onBearer: (bearer) => {
        if (bearer !== undefined) this.#lane.prove();
        this.#wallet = bearer?.wallet;
        if (this.#route?.endless === true) this.#endWith(bearer);
      },
    });
  }

  async #pace(): Promise<void> {
    this.#isPaced = true;
    await this.#service.strangers.take(this.#request.socket.remoteAddress, this.#ended.signal);
  }

  /** Rejects heads that node:http lets through. */
  #checkHead(): void {
    const { headersDistinct, httpVersion, headers } = this.#request;
    const twice = ONCE.find((name) => (headersDistinct[name]?.length ?? 0) > 1);
    if (twice !== undefined) throw new Refusal("malformed_request", `The ${twice} header occurs more than once.`);
    if (httpVersion !== "1.0" && headers.host === undefined) {
      throw new Refusal("malformed_request", "The Host header is missing.");
    }
    if (headers.expect !== undefined && !isContinue(headers.expect)) {
      throw new Refusal("expectation_failed", "Only Expect: 100-continue is supported.");
    }
  }

  #endWith(bearer: Bearer | undefined): void {
    const end = () => this.#ended.abort(new DOMException("the answer ends here", "AbortError"));
    this.#atEnd.push(this.#service.endings.register(bearer, end));
  }

  /** The body's memory is held until it is parsed; that of the parsed value until there is an answer. */
  async #json(owner: string): Promise<unknown> {
    const { texts } = this.#service;
    const reserved = Math.min(this.#body.declaredBytes ?? MAX_JSON_BYTES, MAX_JSON_BYTES);
    let held = 0;
    const reserve = async () => {
      await texts.take(owner, reserved, this.#ended.signal);
      held = reserved;
    };
    const isInTheWay = () => held > 0 && texts.isWanted(owner);
    try {
      return await this.#parsed(owner, begunBody(this.#body.read(MAX_JSON_BYTES, isInTheWay), reserve));
    } finally {
      texts.give(owner, held);
    }
  }

  async #parsed(owner: string, body: AsyncIterable<Uint8Array>): Promise<unknown> {
    const { parses, garbage } = this.#service;
    const pieces: Uint8Array[] = [];
    for await (const piece of body) pieces.push(piece);
    const text = Buffer.concat(pieces);
    const growth = JSON_GROWTH * text.length;
    await parses.take(owner, growth, this.#ended.signal);
    this.#forget = () => {
      this.#forget = () => {};
      parses.give(owner, growth);
      garbage.old(growth);
    };
    try {
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
    } catch (cause) {
      throw new Refusal("malformed_request", "The body is not JSON.", { cause });
    }
  }

  /** Sends the answer first, then drains the body: a sender that is still busy would miss the answer otherwise. */
  async #reply(answer: Answer): Promise<number> {
    const { clock, endings } = this.#service;
    const response = this.#response;
    const body = this.#body;
    const unread = !body.isOver;
    const left = body.declaredBytes === undefined ? Infinity : body.declaredBytes - body.received;
    const unsent = unread && body.isUnsent;
    const last = endings.stopping || (unread && (unsent || left > MAX_JSON_BYTES));
    await this.#turn(answer);
    const sent = await writeAnswer(response, answer, { head: this.#request.method === "HEAD", last, clock });
    const over = !unread || unsent || (await body.discard(MAX_DISCARDED_BYTES, DISCARD_MS));
    if (over && this.#maySpeak) endAnswer(response, clock, () => this.#cut());
    else this.#cut();
    return sent;
  }

  /** Waits until earlier answers on this connection are sent. */
  async #turn({ body, isInTheWay }: Answer): Promise<void> {
    // An earlier answer, such as a watch, may never end.
    using _watch = whenInTheWay(this.#service.clock, isInTheWay, () => this.#cut());
    try {
      if (!this.#maySpeak) throw new DOMException("the client went away", "AbortError");
      if (this.#response.socket === null) await once(this.#response, "socket", { signal: this.#ended.signal });
    } catch (cause) {
      if (body !== undefined && !(body instanceof Uint8Array)) await body[Symbol.asyncIterator]().return?.();
      throw cause;
    }
  }

  /**
   * False once the connection is closed or about to be, as after an answer with `Connection: close`. Requests behind it get
   * the socket out of order, and ending one of them then crashes the process with a node:http assertion.
   */
  get #maySpeak(): boolean {
    return this.#request.socket.writable && !this.#request.socket.destroyed;
  }

  /** Cuts the connection, not the response, for the same reason. */
  #cut(): void {
    this.#request.socket.destroy();
  }

  /** For logs: contains nothing that the caller chose. */
  get #name(): string {
    return this.#route === undefined ? "A request" : `${this.#route.method} ${this.#route.path}`;
  }

  #count(status: number, sent: number, ms: number): void {
    const { metrics, log } = this.#service;
    const route = this.#route === undefined ? "none" : `${this.#route.method} ${this.#route.path}`;
    metrics.count("syncline_requests", "Requests by call and status; status 0 if the client disconnected first.", {
      route,
      status: String(status),
    });
    metrics.count("syncline_received_bytes", "Bytes of request bodies received.", {}, this.#body.received);
    metrics.count("syncline_sent_bytes", "Bytes of response bodies sent.", {}, sent);
    // The route's pattern, not the actual path: names stay out of logs.
    log.info(`${route} ${status}`, { ms: Math.round(ms), received: this.#body.received, sent, wallet: this.#wallet });
    if (this.#route?.endless !== true)
      metrics.observe("syncline_request_seconds", "Request duration in seconds.", { route }, ms / 1000);
  }
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

/** Headers that affect decisions and whose duplicates node:http would drop or join. */
const ONCE = ["authorization", "host", "content-length", "if-match", "if-none-match", "content-encoding", "expect"];
