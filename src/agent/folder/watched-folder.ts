/** A watched folder, as its control socket serves it. */
import type { Clock } from "../../base/clock.ts";
import type { ControlAnswers, ResumeReport } from "../control.ts";
import { drain, isPassing } from "../publishing/drain.ts";
import type { AgentStatus, FlushReport, UnmountReport } from "../reports.ts";
import type { Pause, PauseReport } from "../state/pause.ts";
import type { SyncLoop } from "./sync-loop.ts";
import { syncFlush, syncStatus, type SyncFacts } from "./sync-status.ts";

export interface WatchedFolderOptions {
  readonly loop: SyncLoop;
  readonly facts: SyncFacts;
  readonly pause: Pause;
  /** Ends the pass that is under way. */
  readonly stop: () => void;
  /** How long an ending agent publishes, unless the caller of `unmount` says otherwise. */
  readonly drainMs: number;
  readonly clock: Clock;
}

export class WatchedFolder implements ControlAnswers {
  /** Resolves when the last pass is over. */
  readonly ended: Promise<void>;
  readonly #options: WatchedFolderOptions;
  readonly #hurry = new AbortController();

  constructor(options: WatchedFolderOptions) {
    this.#options = options;
    this.ended = options.loop.run();
  }

  async status(): Promise<AgentStatus> {
    const { facts, loop } = this.#options;
    return syncStatus(facts, loop.state());
  }

  async flush(allowDeletes?: string): Promise<FlushReport> {
    const { loop, pause } = this.#options;
    if (pause.report === null) await loop.flush(allowDeletes);
    return this.#report();
  }

  async pause(forMs?: number): Promise<PauseReport> {
    return this.#options.pause.begin(forMs);
  }

  async resume(): Promise<ResumeReport> {
    return { wasPaused: this.#options.pause.end() };
  }

  /** Unmounts nothing: the folder stays as it is. Of several callers, the one who waits the least ends it for all. */
  async unmount(drainMs = this.#options.drainMs): Promise<UnmountReport> {
    const { clock } = this.#options;
    await drain({
      flush: () => this.flush(),
      report: async () => this.#report(),
      // A further pass would not help files that cannot be synced, or deletions that await approval.
      isWorthAnother: ({ error }) => error !== null && isPassing(error),
      clock,
      endMs: clock.monotonicMs() + drainMs,
      signal: this.#hurry.signal,
    });
    const report = await this.left();
    this.end();
    return report;
  }

  /** Ends it without waiting for the bucket. */
  end(): void {
    this.#hurry.abort();
    this.#options.loop.end();
    this.#options.stop();
  }

  isDrained(): boolean {
    return this.#report().published;
  }

  /** What remains unpublished in the folder. */
  async left(): Promise<UnmountReport> {
    const { published, pending, error } = this.#report();
    const { files, bytes } = pending;
    const { guard } = await this.status();
    const ended = { drained: published, pending, error, guard };
    const { folder } = this.#options.facts;
    return published ? ended : { ...ended, folder: { folder, files, bytes, error } };
  }

  #report(): FlushReport {
    const { facts, loop, pause } = this.#options;
    return syncFlush(loop.state(), facts.waiting?.(), pause.error);
  }
}
