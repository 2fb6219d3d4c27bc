/**
 * Ends connections whose request makes no progress because of the client: a body that trickles, an answer that is not read.
 * All are checked now and then. Slow lines are fine, and time that we take ourselves does not count.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../base/clock.ts";
import { STALLED_BYTES, STALLED_MS } from "./limits.ts";

interface Watched {
  readonly request: IncomingMessage;
  /** Bytes in either direction at the last progress, and its time. */
  bytes: number;
  sinceMs: number;
}

const LOOK_MS = 5_000;
/** While others wait, an inactive client has this long. */
const SLOW_CLIENT_MS = 5_000;

export class StalledRequests implements Disposable {
  readonly #clock: Clock;
  readonly #open = new Map<ServerResponse, Watched>();
  #timer: Disposable | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Watches it until `response` is closed. */
  watch(request: IncomingMessage, response: ServerResponse): void {
    this.#open.set(response, { request, bytes: bytesOf(request), sinceMs: this.#clock.monotonicMs() });
    response.once("close", () => this.#open.delete(response));
    this.#timer ??= this.#clock.after(LOOK_MS, () => this.#look(true));
  }

  /**
   * Requests that hold more than a connection: those being processed, and answers that are read slowly. Bodies that arrive
   * slowly do not count.
   */
  get working(): number {
    return [...this.#open.values()].filter(({ request }) => !awaitsBody(request)).length;
  }

  /** Others wait: ends the request whose client has been inactive longest, if long enough. False: there is none. */
  endOne(): boolean {
    const nowMs = this.#clock.monotonicMs();
    this.#look(false);
    for (const [response, { request, sinceMs }] of this.#open) {
      if (awaitsBody(request) || !isClientsTurn(request) || nowMs - sinceMs < SLOW_CLIENT_MS) continue;
      this.#open.delete(response);
      request.socket.destroy();
      return true;
    }
    return false;
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#open.clear();
  }

  #look(again: boolean): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [response, watched] of this.#open) {
      const { request } = watched;
      const bytes = bytesOf(request);
      if (bytes - watched.bytes >= STALLED_BYTES || !isClientsTurn(request)) {
        watched.bytes = bytes;
        watched.sinceMs = nowMs;
      } else if (nowMs - watched.sinceMs >= STALLED_MS) {
        this.#open.delete(response);
        request.socket.destroy();
      }
    }
    if (again) this.#timer = this.#open.size === 0 ? undefined : this.#clock.after(LOOK_MS, () => this.#look(true));
  }
}

function bytesOf({ socket }: IncomingMessage): number {
  return socket.bytesRead + socket.bytesWritten;
}

/** Whether we wait for the client: to send more of a body, or to read the data buffered for it. */
function isClientsTurn(request: IncomingMessage): boolean {
  return awaitsBody(request) || request.socket.writableLength > 0;
}

function awaitsBody(request: IncomingMessage): boolean {
  return !request.complete && request.readableLength === 0;
}
