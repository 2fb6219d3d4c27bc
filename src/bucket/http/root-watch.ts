/**
 * Reports when a bucket's root may have moved. Uses the master's events where it sends them, and reads the root every few
 * seconds: polling catches missed events, and is the only source while events are cut off.
 */
import type { Cid } from "../../base/ids.ts";
import {
  MASTER_POLL_ALONE_MS,
  MASTER_POLL_MS,
  MASTER_WATCH_MS,
  RECONNECT_FIRST_MS,
  RECONNECT_MAX_MS,
} from "../../base/limits.ts";
import type { Ports } from "../../base/ports.ts";
import { Throttle, WATCH_THROTTLE_MS } from "../../base/throttle.ts";
import { serverEvents } from "../../net/event-stream.ts";
import type { Master } from "../../net/master-connection.ts";
import { rootFrom } from "../../roots/http-root-store.ts";
import type { Root } from "../../roots/root-store.ts";

export interface WatchOptions extends Pick<Ports, "clock" | "random"> {
  readonly master: Master;
  /** The path of the watch call. */
  readonly path: string;
  readonly readRoot: () => Promise<Root | undefined>;
  /** Whether this process put the root there itself. */
  readonly isOwn: (commit: Cid) => boolean;
}

const UNREACHABLE = "unreachable";

/**
 * Calls `changed` after the first look, and whenever the root changes, the master vanishes or it comes back, until
 * disposed. For roots in quick succession, once every WATCH_THROTTLE_MS: only the newest counts.
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
  /** Whether events are arriving now. */
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
        // A master without events is asked again as rarely as an unreachable one: it may have been upgraded by then.
        if ((await this.#options.master.capabilities()).watch && (await this.#events())) waitMs = RECONNECT_FIRST_MS;
      } catch {
        // Reading the root reports any error.
      }
      this.#told = false;
      await this.#pause(waitMs);
      waitMs = Math.min(waitMs * 2, RECONNECT_MAX_MS);
    }
  }

  /** Listens to events until they end; returns whether any came. */
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

  /** Waits a random time between half of `ms` and all of it, so that agents do not act in step. */
  async #pause(ms: number): Promise<void> {
    const { clock, random } = this.#options;
    await clock.sleep(ms * (0.5 + random.fraction() / 2), this.#stop.signal).catch(() => {});
  }
}
