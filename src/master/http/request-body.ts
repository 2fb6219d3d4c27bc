/** A request's body, read in pieces under a limit of size and of patience. */
import type { IncomingMessage } from "node:http";
import type { Clock } from "../../base/clock.ts";
import { BODY_PATIENCE_MS } from "../../base/limits.ts";
import { MIN_BODY_BYTES_A_WINDOW } from "../limits.ts";
import { SLOW_CLIENT_PATIENCE_MS, whenInTheWay } from "./slow-clients.ts";
import { Refusal } from "./refusal.ts";

export class RequestBody {
  readonly #request: IncomingMessage;
  readonly #clock: Clock;
  readonly #beforeRead: () => void;
  /** Milliseconds that we waited for the client, and what came, since the pace was last found good enough. */
  #waitedMs = 0;
  #windowBytes = 0;
  #started = false;
  /** Bytes so far. */
  received = 0;

  /** `beforeRead` is called before the first byte is asked for. */
  constructor(request: IncomingMessage, clock: Clock, beforeRead: () => void = () => {}) {
    this.#request = request;
    this.#clock = clock;
    this.#beforeRead = beforeRead;
  }

  /** Content-Length, or undefined where the sender did not know it. */
  get declaredBytes(): number | undefined {
    if (this.#request.headers["transfer-encoding"] !== undefined) return undefined;
    return Number(this.#request.headers["content-length"] ?? 0);
  }

  /** Whether nothing is left to read. */
  get isOver(): boolean {
    return this.#request.readableEnded || this.declaredBytes === 0;
  }

  get wasStarted(): boolean {
    return this.#started;
  }

  /** `isInTheWay`: whether others wait for what its reader holds. Throws `limit_exceeded`, `time_out`, `in_the_way`, `encoding_unknown`, `malformed_request` (read before), and AbortError when the sender went away. */
  async *read(maxBytes: number, isInTheWay?: () => boolean): AsyncGenerator<Uint8Array> {
    if (this.#started) throw new Refusal("malformed_request", "The body was read before.");
    const encoding = this.#request.headers["content-encoding"] ?? "identity";
    if (encoding !== "identity") {
      throw new Refusal("encoding_unknown", "Bodies are taken as they are: send it without Content-Encoding.", {
        headers: { "accept-encoding": "identity" },
      });
    }
    if ((this.declaredBytes ?? 0) > maxBytes) throw tooLong(maxBytes);
    this.#started = true;
    if (this.declaredBytes === 0) return;
    this.#beforeRead();
    for await (const piece of this.#pieces(BODY_PATIENCE_MS, isInTheWay)) {
      if (this.received > maxBytes) throw tooLong(maxBytes);
      yield piece;
    }
  }

  /** Reads what is left and drops it, `maxBytes` and `maxMs` at most. False if that was not all. Never throws. */
  async discard(maxBytes: number, maxMs: number): Promise<boolean> {
    const until = this.received + maxBytes;
    const deadlineMs = this.#clock.monotonicMs() + maxMs;
    try {
      for (const pieces = this.#pieces(maxMs); (await pieces.next()).done !== true;) {
        if (this.received > until || this.#clock.monotonicMs() > deadlineMs) return false;
      }
      return true;
    } catch {
      return false;
    }
  }

  async *#pieces(patienceMs: number, isInTheWay?: () => boolean): AsyncGenerator<Uint8Array> {
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

  /** Until there is more to read, or the end. */
  async #wait(patienceMs: number, isInTheWay: (() => boolean) | undefined): Promise<void> {
    const request = this.#request;
    // A drop now and then is no more than nothing.
    const crept = this.#windowBytes < MIN_BODY_BYTES_A_WINDOW ? this.#waitedMs : 0;
    const fromMs = this.#clock.monotonicMs();
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
      const timer = this.#clock.after(
        patienceMs,
        settle(() => reject(silent())),
      );
      const cut = settle(() => reject(inTheWay()));
      const watch = whenInTheWay(this.#clock, isInTheWay, cut, Math.max(0, SLOW_CLIENT_PATIENCE_MS - crept));
      request.on("readable", onMore).on("end", onMore).on("close", onGone).on("error", onGone);
    });
    this.#waitedMs += this.#clock.monotonicMs() - fromMs;
    if (this.#waitedMs < BODY_PATIENCE_MS) return;
    if (this.#windowBytes < MIN_BODY_BYTES_A_WINDOW) throw silent();
    this.#waitedMs = 0;
    this.#windowBytes = 0;
  }
}

function tooLong(maxBytes: number): Refusal {
  return new Refusal("limit_exceeded", `The body is longer than ${maxBytes} bytes. Send it in parts.`, {
    details: { limit: maxBytes },
  });
}

function silent(): Refusal {
  return new Refusal(
    "time_out",
    `The body came too slowly: nothing for ${BODY_PATIENCE_MS / 1000} s, or next to nothing.`,
  );
}

function inTheWay(): Refusal {
  const message = `Nothing, or next to nothing, came for ${SLOW_CLIENT_PATIENCE_MS / 1000} s, and others wait. Send what is left again.`;
  return new Refusal("in_the_way", message, { headers: { "retry-after": "1" } });
}

function gone(): DOMException {
  return new DOMException("the client went away", "AbortError");
}
