/**
 * When an agent collects its bucket's garbage by itself (docs/design/retention.md): after many commits, or daily if there
 * were any. All agents of a bucket count the same commits; random delays and each other's collections make one agent do it.
 */
import { hasCode, SynclineError } from "../../base/errors.ts";
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import type { CollectionMark, CollectionNews, Collected } from "../../bucket/gc/need.ts";

/** What an agent knows of the last collection; it outlives the process. */
export interface CollectionRecord {
  readonly mark: CollectionMark;
  /** When the collection was seen, in milliseconds since 1970. */
  readonly timeMs: number;
  /** How many roots were retained then, if known. */
  readonly retained: number;
}

export interface BackgroundCollectionOptions extends Ports {
  /** The newest root's seq seen here; undefined while the bucket is out of reach. */
  readonly seq: () => number | undefined;
  /** As `collectIfNeeded` or `thinIfNeeded`. */
  readonly collect: (known: CollectionMark | undefined, many: number, signal: AbortSignal) => Promise<CollectionNews>;
  readonly record: CollectionRecord | undefined;
  /** Stores the record for the next start. */
  readonly keep: (record: CollectionRecord) => void;
}

export interface CollectionState {
  readonly running: boolean;
  /** This agent's last collection since it started. */
  readonly last: { readonly timeNs: bigint; readonly report: Collected } | undefined;
  /** Why the last try failed. */
  readonly error: SynclineError | undefined;
}

/** Average interval between checks whether one is due. */
const LOOK_MS = 10 * 60 * 1000;
/** At least this many commits make one due; a collection reads more with more retained roots, so this grows with them. */
const MANY_COMMITS = 512;
const RETAINED_PART = 0.25;
/** Due this long after the last one, if there was any commit. */
const AFTER_MS = 24 * 60 * 60 * 1000;
/** The pause after a failure. */
const AGAIN_MS = 60 * 60 * 1000;
/** The pause where the bucket is too large for this machine: each try reads all nodes. */
const LIMITED_MS = 24 * 60 * 60 * 1000;

export class BackgroundCollection implements AsyncDisposable {
  readonly #options: BackgroundCollectionOptions;
  readonly #stop = new AbortController();
  #record: CollectionRecord | undefined;
  /** A factor from 1 to 2 that delays this agent's collections. Drawn anew after each. */
  #patience = 1;
  #notBeforeMs = -Infinity;
  #timer: Disposable | undefined;
  #running: Promise<void> | undefined;
  #last: CollectionState["last"];
  #error: SynclineError | undefined;

  constructor(options: BackgroundCollectionOptions) {
    this.#options = options;
    this.#record = options.record;
    this.#drawPatience();
    this.#arm();
  }

  state(): CollectionState {
    return { running: this.#running !== undefined, last: this.#last, error: this.#error };
  }

  /** Starts to end a running collection; no need to wait. */
  stop(): void {
    this.#timer?.[Symbol.dispose]();
    this.#stop.abort(new SynclineError("no_agent", "The agent is shutting down."));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await this.#running;
  }

  /** Collects if it is due. Never rejects. */
  async look(): Promise<void> {
    if (!this.#isDue()) return;
    this.#running = this.#collect().finally(() => (this.#running = undefined));
    await this.#running;
  }

  #arm(): void {
    const { clock, random } = this.#options;
    this.#timer = clock.after(LOOK_MS * (0.5 + random.fraction()), () => {
      void this.look().then(() => void (this.#stop.signal.aborted || this.#arm()));
    });
  }

  #isDue(): boolean {
    const { clock, seq } = this.#options;
    const now = seq();
    if (now === undefined || this.#running !== undefined || clock.monotonicMs() < this.#notBeforeMs) return false;
    // This agent does not know the last collection: the collector finds out.
    if (this.#record === undefined) return true;
    const { mark, timeMs, retained } = this.#record;
    const commits = now - mark.seq;
    const many = Math.max(MANY_COMMITS, retained * RETAINED_PART);
    // A clock that was wrong once may have left a time in the future.
    const ageMs = Math.abs(this.#nowMs() - timeMs);
    return commits >= many * this.#patience || (commits > 0 && ageMs >= AFTER_MS * this.#patience);
  }

  async #collect(): Promise<void> {
    const { collect, clock, log } = this.#options;
    try {
      const { mark, report } = await collect(this.#record?.mark, MANY_COMMITS, this.#stop.signal);
      this.#note({ mark, timeMs: this.#nowMs(), retained: report?.commits.after ?? this.#record?.retained ?? 0 });
      this.#error = undefined;
      if (report === undefined) return;
      this.#last = { timeNs: clock.nowNs(), report };
      if ("bytes" in report) {
        const { objects, bytes } = report;
        log.info("Collected garbage.", { objects: objects.after, bytes: bytes.after, before: bytes.before });
      } else log.info("Thinned the history.", { retained: report.commits.after, before: report.commits.before });
    } catch (cause) {
      if (this.#stop.signal.aborted) return;
      this.#error =
        cause instanceof SynclineError ? cause : new SynclineError("internal", describeError(cause), { cause });
      const pauseMs = hasCode(cause, "limit_exceeded") ? LIMITED_MS : AGAIN_MS;
      this.#notBeforeMs = clock.monotonicMs() + pauseMs * this.#patience;
      log.warn(`Garbage was not collected: ${describeError(cause)}`);
    }
  }

  #note(record: CollectionRecord): void {
    this.#record = record;
    this.#drawPatience();
    this.#options.keep(record);
  }

  #drawPatience(): void {
    this.#patience = 1 + this.#options.random.fraction();
  }

  #nowMs(): number {
    return Number(this.#options.clock.nowNs() / 1_000_000n);
  }
}
