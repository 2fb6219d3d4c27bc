/**
 * Watching a bucket: server-sent events, the current root first, then each newer one.
 *
 * https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
import type { Clock } from "../../base/clock.ts";
import { Throttle, WATCH_THROTTLE_MS } from "../../base/throttle.ts";
import { WATCH_COMMENT_MS } from "../limits.ts";
import type { Root } from "../../roots/root-store.ts";
import type { Answer, Call, Route } from "../http/route.ts";
import { BUCKET_PATHS, bucketOf, noSuchBucket } from "./bucket-name.ts";
import type { BucketRoots } from "./bucket-roots.ts";
import type { RootWatch } from "./root-hub.ts";

export function watchRoutes(roots: BucketRoots, clock: Clock): Route[] {
  return BUCKET_PATHS.map((path) => ({
    method: "GET",
    path: `${path}/watch`,
    access: "bearer",
    endless: true,
    handle: (call) => watchBucket(roots, clock, call),
  }));
}

async function watchBucket(roots: BucketRoots, clock: Clock, call: Call): Promise<Answer> {
  const name = bucketOf(call);
  const watch = roots.hub.watch(name, call.caller.wallet);
  let streaming = false;
  try {
    // Read after the watch starts: a swap in between may be announced twice, but is never missed.
    const current = await roots.read(name);
    if (current === undefined) throw noSuchBucket();
    if (String(current.version) !== call.headers["last-event-id"]) watch.offer(current);
    streaming = true;
  } finally {
    if (!streaming) watch[Symbol.dispose]();
  }
  return { status: 200, headers: STREAM_HEADERS, body: new EventStream(watch, clock, call.signal) };
}

const STREAM_HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-store",
  // Tells proxies such as nginx to pass on each event at once.
  "x-accel-buffering": "no",
};

/**
 * The bytes of one watch, produced on demand: a slow reader gets only the newest root. So does every reader when many
 * writers swap in quick succession: each swap would wake all of them.
 */
class EventStream implements AsyncIterableIterator<Uint8Array> {
  readonly #watch: RootWatch;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #news: Throttle;
  #wake = (): void => {};
  #greeted = false;

  constructor(watch: RootWatch, clock: Clock, signal: AbortSignal) {
    this.#watch = watch;
    this.#clock = clock;
    this.#signal = signal;
    this.#news = new Throttle(
      clock,
      () => spacingFor(watch.watchers),
      () => this.#wake(),
    );
    if (signal.aborted) watch[Symbol.dispose]();
    else signal.addEventListener("abort", () => watch[Symbol.dispose](), { once: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    const text = await this.#nextText();
    return text === undefined ? this.return() : { done: false, value: Buffer.from(text) };
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.#news[Symbol.dispose]();
    this.#watch[Symbol.dispose]();
    return { done: true, value: undefined };
  }

  async #nextText(): Promise<string | undefined> {
    if (this.#signal.aborted) return undefined;
    if (!this.#greeted) return this.#greeting() + this.#newest("");
    await this.#wait(WATCH_COMMENT_MS);
    if (this.#signal.aborted) return undefined;
    return this.#newest(COMMENT);
  }

  /** The root not yet announced, or `otherwise`. */
  #newest(otherwise: string): string {
    const root = this.#watch.take();
    return root === undefined ? otherwise : eventOf(root);
  }

  /** Shows a client at once that it is connected, even without news. */
  #greeting(): string {
    this.#greeted = true;
    return COMMENT;
  }

  /** Waits for news, a disconnect, or `ms`. */
  async #wait(ms: number): Promise<void> {
    const woken = Promise.withResolvers<void>();
    const wake = () => woken.resolve();
    const timer = this.#clock.after(ms, wake);
    this.#signal.addEventListener("abort", wake);
    this.#wake = wake;
    this.#watch.onNews(() => this.#news.call());
    await woken.promise;
    this.#signal.removeEventListener("abort", wake);
    timer[Symbol.dispose]();
  }
}

const COMMENT = ":\n\n";
/** Each watcher adds this to the pause between rapid events, so all watchers together get at most a hundred a second. */
const SPACING_OF_EACH_MS = 10;
const MAX_SPACING_MS = 500;

function spacingFor(watchers: number): number {
  return Math.min(Math.max(WATCH_THROTTLE_MS, watchers * SPACING_OF_EACH_MS), MAX_SPACING_MS);
}

function eventOf({ commit, version }: Root): string {
  return `event: root\nid: ${version}\ndata: ${JSON.stringify({ root: commit, version })}\n\n`;
}
