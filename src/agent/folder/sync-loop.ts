/**
 * A synced folder under watch: a pass after each notice from the folder or the bucket, one now and then besides, and again later
 * when one came to nothing.
 */
import type { Clock } from "../../base/clock.ts";
import type { SynclineError } from "../../base/errors.ts";
import { failureOf } from "../../base/failure.ts";
import { RECONNECT_FIRST_MS, RECONNECT_MAX_MS } from "../../base/limits.ts";
import { describeError, type Log } from "../../base/log.ts";
import type { FolderNotices, NoticeOptions } from "../../sync/scan/folder-notices.ts";
import type { SyncReport } from "../../sync/report.ts";

export interface SyncLoopOptions {
  /** Passes until folder and bucket agree. */
  readonly once: (allowDeletes: string | undefined) => Promise<SyncReport | undefined>;
  readonly watchFolder: (changed: NoticeOptions["changed"], failed: NoticeOptions["failed"]) => FolderNotices;
  readonly watchBucket: (changed: () => void) => Disposable;
  /** Whether the bucket has another root than this by now. Rejects where it cannot be read. */
  readonly isBehind: (root: string) => Promise<boolean>;
  /** How long the last look at the folder took. */
  readonly scanMs: () => number;
  /** Told of each report in which something happened. */
  readonly heard: (report: SyncReport) => void;
  readonly failed: (error: SynclineError) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface SyncLoopState {
  readonly report: SyncReport | undefined;
  readonly error: SynclineError | undefined;
  /** Why there are no notices from the folder; undefined while there are. */
  readonly scansOnly: string | undefined;
  /** Whether something is known to have changed that no pass has seen yet. */
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
  /** Whether all that was told of is a root, while a pass was under way, which may have seen that or made it. */
  #wantedForRoot = false;
  #wake: AbortController = new AbortController();
  #allow: string | undefined;
  #retryMs = RECONNECT_FIRST_MS;
  /** Whether the last pass made or removed something in the folder. */
  #touched = false;
  /** Whether directories came into the folder: what came into them is not told of before they are watched. */
  #spread = false;
  /** Whether somebody may be saving more in the folder right now. */
  #saving = false;
  #notices: FolderNotices | undefined;
  /** Who waits for a pass that begins after now. */
  #waiters: (() => void)[] = [];

  constructor(options: SyncLoopOptions) {
    this.#options = options;
  }

  state(): SyncLoopState {
    return { report: this.#report, error: this.#error, scansOnly: this.#scansOnly, waiting: this.#wanted };
  }

  /** Runs until `end`. */
  async run(): Promise<void> {
    const { watchBucket, watchFolder, log } = this.#options;
    using _bucket = watchBucket(() => this.#notice(this.#isBusy));
    await using notices = watchFolder(
      (more) => {
        this.#spread ||= more;
        this.#saving = true;
        this.#notice();
      },
      (why) => {
        this.#scansOnly = why;
        log.warn(`No notices from the folder: ${why}. It is scanned every ${SCAN_ALONE_MS / 1000} s instead.`);
        this.#notice();
      },
    );
    this.#notices = notices;
    while (!this.#ending.signal.aborted) {
      const served = this.#waiters.splice(0);
      this.#wanted = false;
      this.#saving = false;
      await this.#pass();
      for (const done of served) done();
      do await this.#pause();
      while (await this.#isForNothing());
    }
    for (const done of this.#waiters.splice(0)) done();
  }

  /** Resolves after a pass that began later than now. */
  async flush(allowDeletes?: string): Promise<void> {
    if (allowDeletes !== undefined) this.#allow = allowDeletes;
    if (this.#ending.signal.aborted) return;
    const done = new Promise<void>((resolve) => this.#waiters.push(resolve));
    this.#notice();
    await done;
  }

  /** To be told before the pass that is under way writes to so many places of the folder. */
  applying(places: number): void {
    if (places >= MANY_PLACES) this.#notices?.rest();
  }

  end(): void {
    this.#ending.abort();
    this.#wake.abort();
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

  /** Whether a pass would look through the folder for a root on which it stands already. Then it is no longer wanted. */
  async #isForNothing(): Promise<boolean> {
    const report = this.#report;
    const isTold = this.#wanted && this.#wantedForRoot && this.#waiters.length === 0;
    // What waits for another pass has it.
    if (!isTold || report === undefined || this.#error !== undefined) return false;
    if (report.left.length > 0 || report.guard !== null || this.#ending.signal.aborted) return false;
    // A pass says why it cannot be read.
    const isBehind = await this.#options.isBehind(report.root).catch(() => true);
    if (isBehind || !this.#wantedForRoot || this.#waiters.length > 0) return false;
    this.#wanted = false;
    return true;
  }

  /** Until there is news, or it is time to look by itself. A burst of changes is waited out for a moment. */
  async #pause(): Promise<void> {
    const { clock } = this.#options;
    // To watch again what a pass let rest takes a look at all of it: of several passes in a row once.
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

  /** Of a folder so large that to look at it takes long, a part of the time only is spent on that. */
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

/** A scan proves what notices only say; and finds what was never noticed. */
const SCAN_MS = 60_000;
const SCAN_ALONE_MS = 10_000;
/** A rest lasts so many times as long as a scan. */
const RESTS = 20;
const RESTS_ALONE = 5;
const LONGEST_REST_MS = 15 * 60_000;
/** What is removed before chokidar has seen that it came is never told of. */
const SCAN_TOUCHED_MS = 1_000;
/** Who saves several files at once gets one pass for them. */
const SETTLE_MS = 50;
/** So many actions in the folder are not listened to. */
const MANY_PLACES = 200;
