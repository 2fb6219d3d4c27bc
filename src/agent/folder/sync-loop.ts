/**
 * Runs the passes of a watched folder: one after each notice from the folder or the bucket, one from time to time anyway,
 * and another one later when a pass failed.
 */
import type { Clock } from "../../base/clock.ts";
import type { SynclineError } from "../../base/errors.ts";
import { failureOf } from "../../base/failure.ts";
import { RECONNECT_FIRST_MS, RECONNECT_MAX_MS } from "../../base/limits.ts";
import { describeError, type Log } from "../../base/log.ts";
import type { FolderNotices, NoticeOptions } from "../../sync/scan/folder-notices.ts";
import { STUCK } from "../../sync/known/unsettled.ts";
import type { SyncReport } from "../../sync/report.ts";

export interface SyncLoopOptions {
  /** Runs passes until folder and bucket agree. */
  readonly once: (allowDeletes: string | undefined) => Promise<SyncReport | undefined>;
  readonly watchFolder: (changed: NoticeOptions["changed"], failed: NoticeOptions["failed"]) => FolderNotices;
  readonly watchBucket: (changed: () => void) => Disposable;
  /** Whether the bucket's root is now another one. Rejects if the root cannot be read. */
  readonly isBehind: (root: string) => Promise<boolean>;
  /** How long the last scan took. */
  readonly scanMs: () => number;
  /** Called with each report in which something happened. */
  readonly heard: (report: SyncReport) => void;
  readonly failed: (error: SynclineError) => void;
  /** While this is true, no pass begins. Call `wake` when it changes. */
  readonly isPaused: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

export interface SyncLoopState {
  readonly report: SyncReport | undefined;
  readonly error: SynclineError | undefined;
  /** Why the folder sends no notices; undefined while it does. */
  readonly scansOnly: string | undefined;
  /** Whether a change is known that no pass has seen yet. */
  readonly waiting: boolean;
}

export class SyncLoop {
  readonly #options: SyncLoopOptions;
  readonly #ending = new AbortController();
  #report: SyncReport | undefined;
  #error: SynclineError | undefined;
  #scansOnly: string | undefined;
  #wanted = true;
  #isBusy = false;
  /** Whether the only notice was of a root, during a pass that may have seen or published that root. */
  #wantedForRoot = false;
  #wake: AbortController = new AbortController();
  #allow: string | undefined;
  #retryMs = RECONNECT_FIRST_MS;
  /** Whether the last pass made or removed something in the folder. */
  #touched = false;
  /** Whether new directories came into the folder: files that came into them before the watch went unnoticed. */
  #spread = false;
  /** Whether a program may be saving more in the folder right now. */
  #saving = false;
  #notices: FolderNotices | undefined;
  /** The watch for others' roots; undefined while paused. */
  #bucket: Disposable | undefined;
  /** Callers that wait for a pass that begins after now. */
  #waiters: (() => void)[] = [];

  constructor(options: SyncLoopOptions) {
    this.#options = options;
  }

  state(): SyncLoopState {
    return { report: this.#report, error: this.#error, scansOnly: this.#scansOnly, waiting: this.#wanted };
  }

  /** Runs until `end`. */
  async run(): Promise<void> {
    const { watchFolder, log } = this.#options;
    using _bucket = { [Symbol.dispose]: () => this.#leaveBucket() };
    await using notices = watchFolder(
      (more) => {
        this.#spread ||= more;
        this.#saving = true;
        this.#notice();
      },
      (why) => {
        this.#scansOnly = why;
        log.warn(
          `No change notifications from the folder: ${why}. It is scanned every ${SCAN_ALONE_MS / 1000} s instead.`,
        );
        this.#notice();
      },
    );
    this.#notices = notices;
    while (!this.#ending.signal.aborted) {
      const served = this.#waiters.splice(0);
      if (this.#options.isPaused()) {
        for (const done of served) done();
        this.#leaveBucket();
        await this.#sleep(SCAN_MS);
        continue;
      }
      this.#bucket ??= this.#options.watchBucket(() => this.#notice(this.#isBusy));
      this.#wanted = false;
      this.#saving = false;
      await this.#pass();
      for (const done of served) done();
      do await this.#pause();
      while (await this.#isForNothing());
    }
    for (const done of this.#waiters.splice(0)) done();
  }

  /** Resolves after a pass that began after this call. */
  async flush(allowDeletes?: string): Promise<void> {
    if (allowDeletes !== undefined) this.#allow = allowDeletes;
    if (this.#ending.signal.aborted) return;
    const done = new Promise<void>((resolve) => this.#waiters.push(resolve));
    this.#notice();
    await done;
  }

  /** Called before the current pass writes to this many paths of the folder. */
  applying(places: number): void {
    if (places >= MANY_PLACES) this.#notices?.rest();
  }

  /** A pause began or ended. */
  wake(): void {
    this.#wake.abort();
  }

  end(): void {
    this.#ending.abort();
    this.#wake.abort();
  }

  #leaveBucket(): void {
    this.#bucket?.[Symbol.dispose]();
    this.#bucket = undefined;
  }

  async #pass(): Promise<void> {
    const { once, heard, failed, log } = this.#options;
    const allow = this.#allow;
    this.#allow = undefined;
    this.#touched = false;
    this.#isBusy = true;
    try {
      const report = await once(allow);
      this.#retryMs = RECONNECT_FIRST_MS;
      this.#error = undefined;
      if (report === undefined) return;
      this.#report = report;
      this.#touched = report.received.files + report.received.removed > 0;
      heard(report);
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      const known = failureOf(error);
      if (this.#error?.message !== known.message) {
        log.warn(`Not synced: ${describeError(error)}`);
        failed(known);
      }
      this.#error = known;
    } finally {
      this.#isBusy = false;
    }
  }

  /** Whether the wanted pass would only scan for a root that the folder shows already. If so, drops it. */
  async #isForNothing(): Promise<boolean> {
    const report = this.#report;
    const isTold = this.#wanted && this.#wantedForRoot && this.#waiters.length === 0;
    // Work left over needs another pass.
    if (!isTold || report === undefined || this.#error !== undefined) return false;
    if (!report.left.every(({ why }) => STUCK.has(why)) || report.guard !== null || this.#ending.signal.aborted)
      return false;
    // If the root cannot be read, a pass reports why.
    const isBehind = await this.#options.isBehind(report.root).catch(() => true);
    if (isBehind || !this.#wantedForRoot || this.#waiters.length > 0) return false;
    this.#wanted = false;
    return true;
  }

  /** Waits for a notice, or until a scan is due. Lets a burst of changes settle for a moment. */
  async #pause(): Promise<void> {
    const { clock } = this.#options;
    // Resuming the watch reads the whole folder: done once for several passes in a row.
    if (this.#error !== undefined || !this.#wanted) this.#notices?.resume();
    if (this.#error !== undefined) {
      await this.#sleep(this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, RECONNECT_MAX_MS);
      return;
    }
    if (!this.#wanted) {
      const idleMs = this.#idleMs();
      this.#spread = false;
      await this.#sleep(idleMs);
    }
    if (this.#waiters.length > 0 || this.#ending.signal.aborted) return;
    if (this.#saving) await clock.sleep(SETTLE_MS, this.#ending.signal).catch(() => {});
  }

  /** If a scan takes long, as in a very large folder, scans get only a part of the time. */
  #idleMs(): number {
    const scanMs = this.#options.scanMs();
    if (this.#touched || this.#spread) return Math.max(SCAN_TOUCHED_MS, scanMs);
    const [leastMs, rests] = this.#scansOnly === undefined ? [SCAN_MS, RESTS] : [SCAN_ALONE_MS, RESTS_ALONE];
    return Math.max(leastMs, Math.min(scanMs * rests, LONGEST_REST_MS));
  }

  async #sleep(ms: number): Promise<void> {
    this.#wake = new AbortController();
    if (this.#waiters.length > 0 || this.#ending.signal.aborted) return;
    await this.#options.clock.sleep(ms, this.#wake.signal).catch(() => {});
  }

  #notice(isForRoot = false): void {
    this.#wantedForRoot = isForRoot && (!this.#wanted || this.#wantedForRoot);
    this.#wanted = true;
    this.#wake.abort();
  }
}

/** A scan confirms what notices report, and finds changes that went unnoticed. */
const SCAN_MS = 60_000;
const SCAN_ALONE_MS = 10_000;
/** The pause between scans is this many times as long as a scan. */
const RESTS = 20;
const RESTS_ALONE = 5;
const LONGEST_REST_MS = 15 * 60_000;
/** chokidar never reports the removal of a file that it has not seen yet. */
const SCAN_TOUCHED_MS = 1_000;
/** Several files saved at once get one pass. */
const SETTLE_MS = 50;
/** From this many actions on, notices from the folder are paused. */
const MANY_PLACES = 200;
