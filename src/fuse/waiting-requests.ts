/**
 * Requests that wait for blocks, back-pressure or a disk. A request is given up if its program is about to die or to be frozen.
 *
 * A caught signal must not end a call: no disk does that, and programs treat EINTR of fsync or stat as a failed disk. The
 * kernel reports only the first signal that reaches a waiting thread (request_wait_answer in fs/fuse/dev.c). The thread is
 * therefore checked repeatedly, until its request is answered or given up.
 *
 * The kernel does not report a freezer to a read that waits for a page of the page cache (folio_wait_bit_common in
 * mm/filemap.c). The page may be part of another thread's READ. When that thread has ended, its READ is given up, and each
 * waiting thread sends its own.
 */
import type { Clock } from "../base/clock.ts";

/** What the kernel knows of threads. */
export interface Threads {
  /** Whether a fatal signal is pending for the thread. */
  isDying(thread: number): boolean;
  /** Whether the thread has ended. */
  isGone(thread: number): boolean;
  /** Those of the threads that a freezer waits for. */
  freezing(threads: ReadonlySet<number>): ReadonlySet<number>;
}

export class WaitingRequests {
  readonly #clock: Clock;
  readonly #threads: Threads;
  readonly #waiting = new Map<number, Waiting>();
  /** Tickets whose thread got a signal. */
  readonly #signalled = new Set<number>();
  #nextLook: Disposable | undefined;
  #looksForFreezers = false;

  constructor(clock: Clock, threads: Threads) {
    this.#clock = clock;
    this.#threads = threads;
  }

  /**
   * The signal is aborted when the request is given up. `thread` is 0 if it cannot be seen from here. `mayOutlive`: whether the
   * request may still wait after its thread has ended.
   */
  add(ticket: number, thread: number, mayOutlive: boolean): AbortSignal {
    const abort = new AbortController();
    this.#waiting.set(ticket, { thread, mayOutlive, mayRepeat: true, abort, isOld: false });
    this.#lookForFreezersLater();
    return abort.signal;
  }

  /** The request has run, and must not run again. From now on, it is given up only if its thread is about to die. */
  mustNotRepeat(ticket: number): void {
    const waiting = this.#waiting.get(ticket);
    if (waiting !== undefined) waiting.mayRepeat = false;
  }

  delete(ticket: number): void {
    this.#waiting.delete(ticket);
    this.#signalled.delete(ticket);
    this.#pauseUnlessNeeded();
  }

  /** A signal, or a freezer, reached the thread of this request, if it still waits. */
  signalled(ticket: number): void {
    const waiting = this.#waiting.get(ticket);
    if (waiting === undefined) return;
    this.#giveUp([waiting]);
    this.#signalled.add(ticket);
    this.#look();
  }

  giveUpAll(): void {
    for (const { abort } of this.#waiting.values()) abort.abort();
  }

  #look(): void {
    for (const ticket of this.#signalled) {
      const waiting = this.#waiting.get(ticket);
      if (waiting !== undefined && !this.#threads.isDying(waiting.thread)) continue;
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

  #lookForFreezersLater(): void {
    if (this.#looksForFreezers) return;
    this.#looksForFreezers = true;
    this.#clock.after(FREEZERS_MS, () => this.#lookForFreezers());
  }

  /** Looks at requests that were already waiting at the last look. */
  #lookForFreezers(): void {
    this.#looksForFreezers = false;
    const all = [...this.#waiting.values()];
    this.#giveUp(all.filter((waiting) => waiting.isOld));
    for (const waiting of all) waiting.isOld = true;
    if (all.length > 0) this.#lookForFreezersLater();
  }

  #giveUp(some: readonly Waiting[]): void {
    if (some.length === 0) return;
    const freezing = this.#threads.freezing(new Set(some.map(({ thread }) => thread)));
    for (const { thread, mayOutlive, mayRepeat, abort } of some) {
      if ((mayRepeat && freezing.has(thread)) || (mayOutlive && this.#threads.isGone(thread))) abort.abort();
    }
  }
}

interface Waiting {
  readonly thread: number;
  readonly mayOutlive: boolean;
  mayRepeat: boolean;
  readonly abort: AbortController;
  isOld: boolean;
}

/** The longest that a killed program may go on waiting. */
const LOOK_AGAIN_MS = 200;
/** A freezer waits for at most two of these. */
const FREEZERS_MS = 1_000;
