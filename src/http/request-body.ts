/** A request's body, read in pieces under limits of size and time; requested from the client only when needed. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../base/clock.ts";
import { BODY_PATIENCE_MS } from "../base/limits.ts";
import { SLOW_CLIENT_PATIENCE_MS, whenInTheWay } from "./slow-clients.ts";

/** Why a body is not read completely; in English, for people. */
export interface BodyProblem {
  readonly what: "encoding" | "too long" | "too slow" | "in the way" | "read before";
  readonly message: string;
  /** The most bytes of a body, if it is too long. */
  readonly limit?: number;
}

export interface BodyRules {
  readonly clock: Clock;
  /** Creates the error that reading throws. */
  readonly refuse: (problem: BodyProblem) => Error;
  /** Fewer bytes than this per BODY_PATIENCE_MS of waiting is too slow; 0 by default: any progress suffices. */
  readonly leastBytes?: number;
}

/** Content-Length, or undefined if the sender did not know it. */
export function declaredBytes({ headers }: Pick<IncomingMessage, "headers">): number | undefined {
  if (headers["transfer-encoding"] !== undefined) return undefined;
  return Number(headers["content-length"] ?? 0);
}

/** Whether the headers say where the body ends. Over HTTP/1.1 there is no body if they do not. */
export function hasLength({ headers }: Pick<IncomingMessage, "headers">): boolean {
  return headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined;
}

/** Whether the sender waits for "100 Continue". HTTP/1.0 gets no interim answer (RFC 9110, section 10.1.1). */
export function waitsToSend({ headers, httpVersion }: Pick<IncomingMessage, "headers" | "httpVersion">): boolean {
  return httpVersion !== "1.0" && headers.expect !== undefined && isContinue(headers.expect);
}

/** Whether an Expect header has the only defined expectation. */
export function isContinue(expect: string): boolean {
  return /^100-continue$/i.test(expect);
}

export class RequestBody {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #rules: BodyRules;
  /** Milliseconds spent waiting for the client, and bytes received, since the pace was last sufficient. */
  #waitedMs = 0;
  #windowBytes = 0;
  #started = false;
  /** Bytes so far. */
  received = 0;

  constructor(request: IncomingMessage, response: ServerResponse, rules: BodyRules) {
    this.#request = request;
    this.#response = response;
    this.#rules = rules;
  }

  /** Content-Length, or undefined if the sender did not know it. */
  get declaredBytes(): number | undefined {
    return declaredBytes(this.#request);
  }

  /** Whether nothing is left to read. */
  get isOver(): boolean {
    return this.#request.readableEnded || this.declaredBytes === 0;
  }

  /** Whether the sender has sent nothing yet and waits for "100 Continue". */
  get isUnsent(): boolean {
    return !this.#started && waitsToSend(this.#request);
  }

  /**
   * `isInTheWay`: whether others wait for what the reader holds. Throws the error of `refuse`, and AbortError if the sender
   * disconnected.
   */
  async *read(maxBytes: number, isInTheWay?: () => boolean): AsyncGenerator<Buffer> {
    const { refuse } = this.#rules;
    if (this.#started) throw refuse({ what: "read before", message: "The body was already read." });
    if (isEncoded(this.#request.headers)) throw refuse(ENCODED);
    if ((this.declaredBytes ?? 0) > maxBytes) throw refuse(tooLong(maxBytes));
    this.#started = true;
    if (this.declaredBytes === 0) return;
    if (waitsToSend(this.#request)) this.#response.writeContinue();
    for await (const piece of this.#pieces(BODY_PATIENCE_MS, isInTheWay)) {
      if (this.received > maxBytes) throw refuse(tooLong(maxBytes));
      yield piece;
    }
  }

  /** Reads and discards the rest, at most `maxBytes` and `maxMs`. False if more was left. Never throws. */
  async discard(maxBytes: number, maxMs: number): Promise<boolean> {
    const until = this.received + maxBytes;
    const deadlineMs = this.#rules.clock.monotonicMs() + maxMs;
    try {
      for (const pieces = this.#pieces(maxMs); (await pieces.next()).done !== true;) {
        if (this.received > until || this.#rules.clock.monotonicMs() > deadlineMs) return false;
      }
      return true;
    } catch {
      return false;
    }
  }

  async *#pieces(patienceMs: number, isInTheWay?: () => boolean): AsyncGenerator<Buffer> {
    const request = this.#request;
    for (;;) {
      const piece = request.read() as Buffer | null;
      if (piece !== null) {
        this.received += piece.length;
        this.#windowBytes += piece.length;
        yield piece;
      } else if (request.readableEnded) return;
      else await this.#wait(patienceMs, isInTheWay);
    }
  }

  /** Waits for more bytes or the end. */
  async #wait(patienceMs: number, isInTheWay: (() => boolean) | undefined): Promise<void> {
    const request = this.#request;
    // An occasional byte counts as nothing.
    const { clock, refuse, leastBytes = 0 } = this.#rules;
    const crept = this.#windowBytes < leastBytes ? this.#waitedMs : 0;
    const fromMs = clock.monotonicMs();
    await new Promise<void>((resolve, reject) => {
      if (request.destroyed) return reject(gone());
      const settle = (act: () => void) => () => {
        timer[Symbol.dispose]();
        watch[Symbol.dispose]();
        request.off("readable", onMore).off("end", onMore).off("close", onGone).off("error", onGone);
        act();
      };
      const onMore = settle(resolve);
      const onGone = settle(() => reject(gone()));
      const timer = clock.after(
        patienceMs,
        settle(() => reject(refuse(TOO_SLOW))),
      );
      const cut = settle(() => reject(refuse(IN_THE_WAY)));
      const watch = whenInTheWay(clock, isInTheWay, cut, Math.max(0, SLOW_CLIENT_PATIENCE_MS - crept));
      request.on("readable", onMore).on("end", onMore).on("close", onGone).on("error", onGone);
    });
    this.#waitedMs += clock.monotonicMs() - fromMs;
    if (this.#waitedMs < BODY_PATIENCE_MS) return;
    if (this.#windowBytes < leastBytes) throw refuse(TOO_SLOW);
    this.#waitedMs = 0;
    this.#windowBytes = 0;
  }
}

function tooLong(maxBytes: number): BodyProblem {
  return { what: "too long", message: `The body is longer than ${maxBytes} bytes. Send it in parts.`, limit: maxBytes };
}

/** Whether the body is compressed, or otherwise encoded: node:http decodes only chunks. */
function isEncoded(headers: IncomingMessage["headers"]): boolean {
  const { "content-encoding": content = "identity", "transfer-encoding": transfer = "chunked" } = headers;
  return content !== "identity" || !/^chunked$/i.test(transfer);
}

const ENCODED: BodyProblem = {
  what: "encoding",
  message: "Encoded bodies are not supported: send the body without Content-Encoding, and chunked at most.",
};
const TOO_SLOW: BodyProblem = {
  what: "too slow",
  message: `The body arrived too slowly: little or nothing came for ${BODY_PATIENCE_MS / 1000} s.`,
};
const IN_THE_WAY: BodyProblem = {
  what: "in the way",
  message: `Little or nothing arrived for ${SLOW_CLIENT_PATIENCE_MS / 1000} s while others waited. Send the rest again.`,
};

function gone(): DOMException {
  return new DOMException("the client went away", "AbortError");
}
