/**
 * Tells when a bucket's root may have moved: the master's events where it sends them, and by reading the root every few seconds,
 * which catches what an event missed and is all there is while the events are cut off.
 */
import type { Clock } from "../../base/clock.ts";
import type { Cid } from "../../base/ids.ts";
import {
  MASTER_POLL_ALONE_MS,
  MASTER_POLL_MS,
  MASTER_WATCH_MS,
  RECONNECT_FIRST_MS,
  RECONNECT_MAX_MS,
} from "../../base/limits.ts";
import type { Random } from "../../base/random.ts";
import { Throttle, WATCH_THROTTLE_MS } from "../../base/throttle.ts";
import { serverEvents } from "../../net/event-stream.ts";
import type { Master } from "../../net/master-connection.ts";
import { rootFrom } from "../../roots/http-root-store.ts";
import type { Root } from "../../roots/root-store.ts";

export interface WatchOptions {
  readonly master: Master;
  /** Of the watch call. */
  readonly path: string;
  readonly readRoot: () => Promise<Root | undefined>;
  /** Whether this program put the root there itself. */
  readonly isOwn: (commit: Cid) => boolean;
  readonly clock: Clock;
  readonly random: Random;
}

const UNREACHABLE = "unreachable";

/**
 * Calls `changed` after the first look, whenever the root is another one, the master vanishes or it comes back, until disposed; of
 * roots in quick succession every WATCH_THROTTLE_MS, for only the newest counts.
 */
export function watchMaster(options: WatchOptions, changed: () => void): Disposable {
  const watch = new MasterWatch(options, changed);
  void watch.poll();
  void watch.listen();
  return watch;
}

class MasterWatch implements Disposable {
  readonly #options: WatchOptions;
  readonly #changed: Throttle;
  readonly #stop = new AbortController();
  #last: string | undefined;
  /** Whether events come now. */
  #told = false;
  #lastEventId: string | undefined;

  constructor(options: WatchOptions, changed: () => void) {
    this.#options = options;
    this.#changed = new Throttle(options.clock, WATCH_THROTTLE_MS, changed);
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
    this.#changed[Symbol.dispose]();
  }

  async poll(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      this.#see(await this.#look());
      await this.#pause(this.#told ? MASTER_POLL_MS : MASTER_POLL_ALONE_MS);
    }
  }

  async listen(): Promise<void> {
    let waitMs = RECONNECT_FIRST_MS;
    while (!this.#stop.signal.aborted) {
      try {
        // A master that sends no events is asked again as rarely as one that cannot be reached: it may be a newer one by then.
        if ((await this.#options.master.capabilities()).watch && (await this.#events())) waitMs = RECONNECT_FIRST_MS;
      } catch {
        // Whatever is wrong, the reader of the root says it.
      }
      this.#told = false;
      await this.#pause(waitMs);
      waitMs = Math.min(waitMs * 2, RECONNECT_MAX_MS);
    }
  }

  /** Hears events until they end; whether any came. */
  async #events(): Promise<boolean> {
    const { master, path } = this.#options;
    const headers = this.#lastEventId === undefined ? {} : { "last-event-id": this.#lastEventId };
    const answer = await master.call({
      method: "GET",
      path,
      headers: { accept: "text/event-stream", ...headers },
      events: true,
      silenceMs: MASTER_WATCH_MS,
      signal: this.#stop.signal,
    });
    try {
      for await (const event of serverEvents(answer.body)) {
        this.#told = true;
        if (event?.event !== "root") continue;
        if (event.id !== undefined && /^[\x20-\x7e]{0,256}$/.test(event.id)) this.#lastEventId = event.id;
        this.#see(rootFrom(JSON.parse(event.data)).commit);
      }
    } catch (error) {
      if (!this.#told) throw error;
    }
    return this.#told;
  }

  async #look(): Promise<string> {
    try {
      return (await this.#options.readRoot())?.commit ?? "absent";
    } catch {
      return UNREACHABLE;
    }
  }

  #see(seen: string): void {
    const { signal } = this.#stop;
    if (signal.aborted || seen === this.#last) return;
    const first = this.#last === undefined || this.#last === UNREACHABLE;
    this.#last = seen;
    if (first || !this.#options.isOwn(seen as Cid)) this.#changed.call();
  }

  /** A random part of `ms` between a half and the whole, so that agents do not march in step. */
  async #pause(ms: number): Promise<void> {
    const { clock, random } = this.#options;
    await clock.sleep(ms * (0.5 + random.fraction() / 2), this.#stop.signal).catch(() => {});
  }
}
