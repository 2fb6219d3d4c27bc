/**
 * One connection's requests: a few are processed at a time; before its caller is known, one by one. Clients may send more without
 * waiting for answers (RFC 9112, 9.3.2): the rest is not read until these are answered. All requests of one read are parsed
 * at once, so a connection with very many waiting requests is cut.
 */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Budget } from "../base/budget.ts";
import { MAX_CONNECTION_CALLS, MAX_WAITING_CALLS } from "../base/limits.ts";

/** For connections whose callers are not known at first. */
export interface StrangersLane {
  /** Room for a request that waits for earlier ones. Undefined: there is none. */
  tryWait(): Disposable | undefined;
  /** The connection has shown a valid bearer. */
  proved(): void;
}

export class Lane {
  readonly #socket: Socket;
  readonly #whenClosed = new Set<() => void>();
  #closed = false;
  readonly #open = new Set<ServerResponse>();
  readonly #slots: Budget;
  readonly #overrun: () => void;
  readonly #most: number;
  /** Undefined once its caller is known. */
  #stranger: StrangersLane | undefined;

  /**
   * At most `most` requests are processed at once, and a stranger's one by one. `overrun`: called once more than
   * MAX_WAITING_CALLS wait, for which the connection is cut.
   */
  constructor(socket: Socket, overrun: () => void, most = MAX_CONNECTION_CALLS, stranger?: StrangersLane) {
    this.#socket = socket;
    this.#overrun = overrun;
    this.#most = most;
    this.#stranger = stranger;
    this.#slots = new Budget(most);
    if (stranger !== undefined) this.#slots.tryTake(most - 1);
    socket.once("close", () => {
      this.#closed = true;
      for (const act of this.#whenClosed) act();
    });
  }

  /** Whether all its requests are answered completely. */
  get isIdle(): boolean {
    return this.#open.size === 0;
  }

  /** Whether something other than an answer may be sent: no answer has begun, and at most one request waits. */
  get maySpeak(): boolean {
    return this.#open.size <= 1 && ![...this.#open].some(({ headersSent }) => headersSent);
  }

  /** Calls `act` when the connection closes: node:http tells only the current answer. The returned function cancels it. */
  onClose(act: () => void): () => void {
    if (this.#closed) act();
    else this.#whenClosed.add(act);
    return () => void this.#whenClosed.delete(act);
  }

  /** The connection has shown a valid bearer: from now on it is no stranger's. */
  prove(): void {
    const stranger = this.#stranger;
    if (stranger === undefined) return;
    this.#stranger = undefined;
    stranger.proved();
    this.#slots.give(this.#most - 1);
    this.#resume();
  }

  /** Runs `work` in its turn; `response` counts as open until it is closed. */
  async run(response: ServerResponse, work: () => Promise<void>): Promise<void> {
    this.#open.add(response);
    response.once("close", () => this.#open.delete(response));
    if (this.#open.size === MAX_WAITING_CALLS + 1) {
      this.#overrun();
      this.#socket.destroy();
    }
    // Requests of the same read still arrive after a cut.
    if (this.#socket.destroyed) return;
    if (!this.#slots.tryTake(1) && !(await this.#wait())) return;
    try {
      // Once the connection is gone, the rest of its requests are dropped.
      if (!this.#closed) await work();
    } finally {
      this.#slots.give(1);
      this.#resume();
    }
  }

  /** Waits for a slot. False: a stranger has too many waiting, so the connection is cut. */
  async #wait(): Promise<boolean> {
    using place = this.#stranger?.tryWait();
    if (this.#stranger !== undefined && place === undefined) {
      this.#socket.destroy();
      return false;
    }
    this.#socket.pause();
    await this.#slots.take(1);
    return true;
  }

  #resume(): void {
    if (this.#slots.waiting === 0) this.#socket.resume();
  }
}
