/**
 * One request to a server and its answer, over undici's dispatcher, never resent automatically. Both directions have
 * back-pressure, and may share a limit on bytes per second. It is aborted when nothing moves, or when bytes only drip.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher } from "undici";
import type { Clock } from "../base/clock.ts";
import type { RateLimit } from "../base/rate-limit.ts";
import { SilenceError, Unanswered } from "./unanswered.ts";

export interface ExchangeRequest {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Consumed piece by piece as the connection accepts it. */
  readonly body?: Iterable<Uint8Array> | AsyncIterable<Uint8Array> | undefined;
  /** The exchange is aborted after this long without progress. */
  readonly silenceMs: number;
  /** As silenceMs, while the system takes the request's body, and then until the answer's head. Absent: silenceMs. */
  readonly sendingMs?: number | undefined;
  readonly answerMs?: number | undefined;
  /** Bytes of the answer that must arrive in each `silenceMs`; 0 for a stream of events. */
  readonly leastBytes: number;
  /** Each of them ends it. One that AbortSignal.any made of several would stay in memory if the exchange never ended. */
  readonly signals?: readonly AbortSignal[] | undefined;
  /** Limits the bodies of requests and answers. */
  readonly limit?: RateLimit | undefined;
}

export interface ExchangeAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Must be read: the connection stays busy until then. Leaving it early cuts the connection. Throws `Unanswered`. */
  readonly body: AsyncIterable<Uint8Array>;
  /**
   * Reads the body in callbacks, without copies. `take` gets each part as it arrives; its memory is reused afterwards.
   * Resolves at the end, or when `take` answers "enough", which cuts the connection. Throws `Unanswered`, and what `take`
   * throws.
   */
  read(take: Take): Promise<void>;
}

export type Take = (part: Uint8Array) => "more" | "enough";

/** Resolves once the head of the answer has arrived. Throws `Unanswered`, and the signal's reason. */
export function exchange(
  dispatcher: Pick<Dispatcher, "dispatch">,
  clock: Clock,
  origin: string,
  request: ExchangeRequest,
): Promise<ExchangeAnswer> {
  return new Promise((resolve, reject) => {
    new Exchange(clock, request, resolve, reject).start(dispatcher, origin);
  });
}

/** At most this many bytes of an answer wait for their reader, plus what is in flight. */
const WAITING_BYTES = 1024 * 1024;

/** The size of the pieces in which a limited body is sent, so that it moves steadily. */
const LIMITED_BYTES = 16 * 1_024;

const ignore: Take = () => "more";

class Exchange {
  readonly #clock: Clock;
  readonly #request: ExchangeRequest;
  readonly #resolve: (answer: ExchangeAnswer) => void;
  readonly #reject: (error: unknown) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #timer: Disposable | undefined;
  #movedMs: number;
  /** The connection has taken all of the body. */
  #isSent = false;
  #isAnswered = false;
  /** Bytes of the answer in the current window. */
  #window = { startMs: 0, bytes: 0 };
  readonly #parts: Uint8Array[] = [];
  #waitingBytes = 0;
  #take: Take | undefined;
  #isPaused = false;
  /** How many parts wait for the limit now, in both directions. Such waiting is not the server's silence. */
  #holds = 0;
  /** How many of them belong to the answer. */
  #answerHolds = 0;
  /** Bytes of the answer that are still to come, if the server said how many. */
  #bytesLeft: number | undefined;
  #isWhole = false;
  readonly #over = new AbortController();
  #ended = false;
  #failure: unknown;
  #wake: (() => void) | undefined;

  constructor(
    clock: Clock,
    request: ExchangeRequest,
    resolve: (answer: ExchangeAnswer) => void,
    reject: (error: unknown) => void,
  ) {
    this.#clock = clock;
    this.#request = request;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#movedMs = clock.monotonicMs();
  }

  start(dispatcher: Pick<Dispatcher, "dispatch">, origin: string): void {
    const { method, path, headers, body, signals = [] } = this.#request;
    const over = signals.find(({ aborted }) => aborted);
    if (over !== undefined) return this.#fail(over.reason);
    for (const signal of signals) signal.addEventListener("abort", this.#onAbort, { once: true });
    this.#watch(this.#request.silenceMs);
    const options = { origin, method, path, headers, body: body === undefined ? null : this.#sending(body) };
    try {
      dispatcher.dispatch({ ...options, headersTimeout: 0, bodyTimeout: 0 } as Dispatcher.DispatchOptions, {
        onRequestStart: (controller) => this.#started(controller),
        onResponseStart: (_controller, status, head) => this.#answered(status, head),
        onResponseData: (controller, part) => this.#received(controller, part),
        onResponseEnd: () => {
          this.#isWhole = true;
          this.#goOn();
        },
        onResponseError: (_controller, error) => this.#fail(error),
      });
    } catch (error) {
      this.#fail(error);
    }
  }

  readonly #onAbort = () => this.#giveUp(this.#request.signals?.find(({ aborted }) => aborted)?.reason);

  #started(controller: Dispatcher.DispatchController): void {
    const again = this.#controller !== undefined;
    this.#controller = controller;
    // Never send twice: a repeated swap looks like a lost one.
    if (again) controller.abort(new Error("the request would be sent again"));
    else if (this.#ended) controller.abort(new Error("given up"));
    else this.#moved();
  }

  #sending(body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
    if (this.#request.limit !== undefined) return this.#sendingLimited(body, this.#request.limit);
    return Symbol.iterator in body ? this.#sendingNow(body) : this.#sendingLater(body);
  }

  *#sendingNow(body: Iterable<Uint8Array>): Generator<Uint8Array> {
    for (const piece of body) {
      this.#moved();
      yield piece;
    }
    this.#sent();
  }

  async *#sendingLater(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of body) {
      this.#moved();
      yield piece;
    }
    this.#sent();
  }

  async *#sendingLimited(
    body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    limit: RateLimit,
  ): AsyncGenerator<Uint8Array> {
    for await (const piece of body) {
      for (let from = 0; from < piece.length; from += LIMITED_BYTES) {
        const part = piece.subarray(from, from + LIMITED_BYTES);
        await this.#hold(limit, part.length);
        yield part;
      }
    }
    this.#sent();
  }

  #sent(): void {
    this.#isSent = true;
    this.#moved();
  }

  /** Resolves when these bytes may move. Throws when the exchange is over. */
  async #hold(limit: RateLimit, bytes: number): Promise<void> {
    this.#holds++;
    try {
      await limit.take(bytes, this.#over.signal);
    } finally {
      this.#holds--;
      this.#moved();
    }
  }

  #answered(status: number, headers: IncomingHttpHeaders): void {
    // 1xx answers are interim.
    if (status < 200) return;
    this.#moved();
    this.#isAnswered = true;
    this.#window = { startMs: this.#movedMs, bytes: 0 };
    const length = headers["content-length"];
    if (length !== undefined) this.#bytesLeft = Number(length);
    this.#resolve({ status, headers, body: this.#body(), read: (take) => this.#read(take) });
  }

  #received(controller: Dispatcher.DispatchController, part: Uint8Array): void {
    // A body that ends with its connection may have empty parts after each pause.
    if (part.length === 0) return;
    this.#moved();
    this.#window.bytes += part.length;
    if (this.#bytesLeft !== undefined) this.#bytesLeft -= part.length;
    // Once all has arrived, nothing is paused: if the server closed a paused connection, the answer would count as cut.
    const mayPause = this.#bytesLeft !== 0;
    if (this.#request.limit !== undefined) {
      if (mayPause) controller.pause();
      void this.#holdAnswer(this.#request.limit, part.length);
    }
    if (this.#take !== undefined) return this.#pass(part, this.#take);
    this.#parts.push(Buffer.from(part));
    this.#waitingBytes += part.length;
    if (mayPause && this.#waitingBytes >= WAITING_BYTES) {
      this.#isPaused = true;
      controller.pause();
    }
    this.#wake?.();
  }

  async #holdAnswer(limit: RateLimit, bytes: number): Promise<void> {
    this.#answerHolds++;
    // Rejected when the exchange is over.
    await this.#hold(limit, bytes).catch(() => {});
    this.#answerHolds--;
    this.#goOn();
  }

  /** Resumes or ends, unless a part of the answer waits for the limit or its reader. */
  #goOn(): void {
    if (this.#answerHolds > 0 || this.#ended) return;
    if (this.#isWhole) this.#end();
    else if (!this.#isPaused) this.#controller?.resume();
  }

  #pass(part: Uint8Array, take: Take): void {
    try {
      if (take(part) === "more") return;
    } catch (error) {
      this.#failure ??= error;
    }
    this.#take = ignore;
    this.#wake?.();
  }

  async #read(take: Take): Promise<void> {
    try {
      for (const part of this.#parts.splice(0)) if (take(part) === "enough") return;
      if (!this.#ended) {
        this.#take = take;
        await this.#woken();
      }
      if (this.#failure !== undefined) throw this.#failure;
    } finally {
      if (!this.#ended) this.#giveUp(new Error("the answer was not read to the end"));
    }
  }

  async *#body(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const part = this.#parts.shift();
        if (part !== undefined) {
          this.#waitingBytes -= part.length;
          yield part;
          continue;
        }
        if (this.#failure !== undefined) throw this.#failure;
        if (this.#ended) return;
        await this.#woken();
        this.#wake = undefined;
      }
    } finally {
      if (!this.#ended) this.#giveUp(new Error("the answer was not read to the end"));
    }
  }

  /** Resolves when the next part or the end arrives, which may be while it resumes. */
  #woken(): Promise<void> {
    const woken = new Promise<void>((resolve) => (this.#wake = resolve));
    this.#resume();
    return woken;
  }

  #resume(): void {
    this.#moved();
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#goOn();
  }

  #moved(): void {
    this.#movedMs = this.#clock.monotonicMs();
  }

  /** One timer at a time, rescheduled when it fires, so that progress costs nothing. */
  #watch(ms: number): void {
    this.#timer = this.#clock.after(ms, () => {
      const { silenceMs, answerMs = silenceMs, sendingMs = silenceMs } = this.#request;
      const mostMs = this.#isAnswered ? silenceMs : this.#isSent ? answerMs : sendingMs;
      const now = this.#clock.monotonicMs();
      // Only time spent waiting for the server counts, not a slow reader's or our own limit's.
      const waits = this.#holds === 0 && (!this.#isAnswered || this.#wake !== undefined);
      if (!waits) this.#window = { startMs: now, bytes: 0 };
      const idleMs = waits ? now - this.#movedMs : 0;
      if (idleMs >= mostMs) return this.#giveUp(new SilenceError(mostMs));
      if (this.#drips(now)) return this.#giveUp(new SilenceError(silenceMs, "the answer is too slow"));
      // At least what clocks can tell apart.
      this.#watch(Math.max(1, Math.min(silenceMs, mostMs - idleMs)));
    });
  }

  /** Whether a full window brought less than the minimum. Starts the next window when this one is over. */
  #drips(now: number): boolean {
    const { silenceMs, leastBytes } = this.#request;
    const window = this.#window;
    if (!this.#isAnswered || now - window.startMs < silenceMs) return false;
    this.#window = { startMs: now, bytes: 0 };
    return window.bytes < leastBytes;
  }

  #giveUp(reason: unknown): void {
    this.#controller?.abort(reason instanceof Error ? reason : new Error(String(reason)));
    this.#fail(reason);
  }

  #fail(error: unknown): void {
    if (this.#ended) return;
    const { signals = [] } = this.#request;
    const sent = this.#controller !== undefined;
    const isAborted = signals.some(({ aborted, reason }) => aborted && error === reason);
    this.#failure = isAborted ? error : new Unanswered(sent, error);
    this.#end();
    this.#reject(this.#failure);
  }

  #end(): void {
    this.#ended = true;
    if (this.#holds > 0) this.#over.abort(new Error("the exchange is over"));
    this.#timer?.[Symbol.dispose]();
    for (const signal of this.#request.signals ?? []) signal.removeEventListener("abort", this.#onAbort);
    this.#wake?.();
  }
}
