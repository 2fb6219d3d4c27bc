/**
 * Requests that wait for blocks, back-pressure or a disk. Those of programs that are about to die are given up.
 *
 * A caught signal must not end a call: no disk does that, and programs treat EINTR of fsync or stat as a failed disk. The
 * kernel reports only the first signal that reaches a waiting thread (request_wait_answer in fs/fuse/dev.c). The thread is
 * therefore checked repeatedly, until its request is answered or a fatal signal comes.
 */
import type { Clock } from "../base/clock.ts";

export class WaitingRequests {
  readonly #clock: Clock;
  readonly #isDying: (thread: number) => boolean;
  readonly #waiting = new Map<number, Waiting>();
  /** Tickets whose thread got a signal. */
  readonly #signalled = new Set<number>();
  #nextLook: Disposable | undefined;

  /** `isDying`: whether a fatal signal is pending for the thread. */
  constructor(clock: Clock, isDying: (thread: number) => boolean) {
    this.#clock = clock;
    this.#isDying = isDying;
  }

  /** The signal is aborted when the request is given up. `thread` is 0 if it cannot be seen from here. */
  add(ticket: number, thread: number): AbortSignal {
    const abort = new AbortController();
    this.#waiting.set(ticket, { thread, abort });
    return abort.signal;
  }

  /** The request is answered. */
  delete(ticket: number): void {
    this.#waiting.delete(ticket);
    this.#signalled.delete(ticket);
    this.#pauseUnlessNeeded();
  }

  /** A signal reached the thread of this request, if it still waits. */
  signalled(ticket: number): void {
    if (!this.#waiting.has(ticket)) return;
    this.#signalled.add(ticket);
    this.#look();
  }

  giveUpAll(): void {
    for (const { abort } of this.#waiting.values()) abort.abort();
  }

  #look(): void {
    for (const ticket of this.#signalled) {
      const waiting = this.#waiting.get(ticket);
      if (waiting !== undefined && !this.#isDying(waiting.thread)) continue;
      this.#signalled.delete(ticket);
      waiting?.abort.abort();
    }
    this.#nextLook?.[Symbol.dispose]();
    this.#nextLook = this.#clock.after(LOOK_AGAIN_MS, () => this.#look());
    this.#pauseUnlessNeeded();
  }

  #pauseUnlessNeeded(): void {
    if (this.#signalled.size > 0) return;
    this.#nextLook?.[Symbol.dispose]();
    this.#nextLook = undefined;
  }
}

interface Waiting {
  readonly thread: number;
  readonly abort: AbortController;
}

/** The longest that a killed program may go on waiting. */
const LOOK_AGAIN_MS = 200;
