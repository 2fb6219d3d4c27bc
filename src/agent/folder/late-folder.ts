/**
 * A folder beside a mount that an agent took over. Programs already use the mount, so an error of the folder must not end the
 * agent: opening is repeated until it succeeds, and status shows the error meanwhile.
 */
import type { Clock } from "../../base/clock.ts";
import type { SynclineError } from "../../base/errors.ts";
import { failureOf } from "../../base/failure.ts";
import { describeError, type Log } from "../../base/log.ts";
import type { ResumeReport } from "../control.ts";
import { openLate } from "../open-late.ts";
import type { AgentStatus, FlushReport, UnmountReport } from "../reports.ts";
import { Pause, type PauseReport } from "../state/pause.ts";
import type { FolderPart } from "./agent-with-folder.ts";
import type { SyncLoopState } from "./sync-loop.ts";
import { syncFlush, syncStatus } from "./sync-status.ts";

export interface LateFolderOptions {
  readonly folder: string;
  readonly address: string;
  /** The state folder with the pause. */
  readonly pauseDir: string;
  readonly cacheBytes: number;
  /** Opens the folder and begins its passes. Rejects when aborted while the folder's disk does not answer. */
  readonly open: (signal: AbortSignal) => Promise<FolderPart>;
  readonly clock: Clock;
  readonly log: Log;
}

export class LateFolder implements FolderPart {
  readonly ended: Promise<void>;
  readonly #options: LateFolderOptions;
  readonly #ending = new AbortController();
  #part: FolderPart | undefined;
  #error: SynclineError | undefined;

  constructor(options: LateFolderOptions) {
    this.#options = options;
    this.ended = this.#run();
  }

  async status(): Promise<AgentStatus> {
    if (this.#part !== undefined) return this.#part.status();
    const { folder, address, cacheBytes } = this.#options;
    using pause = this.#pause();
    const facts = {
      folder,
      address,
      cache: () => ({ bytes: 0, limit: cacheBytes }),
      paused: () => pause.report,
      requests: () => null,
      masters: () => null,
      conflicts: () => [],
    };
    return syncStatus(facts, this.#state());
  }

  async flush(allowDeletes?: string): Promise<FlushReport> {
    return this.#part?.flush(allowDeletes) ?? syncFlush(this.#state());
  }

  /** The state keeps the pause, so it applies once the folder is open. */
  async pause(forMs?: number): Promise<PauseReport> {
    if (this.#part !== undefined) return this.#part.pause(forMs);
    using pause = this.#pause();
    return pause.begin(forMs);
  }

  async resume(): Promise<ResumeReport> {
    if (this.#part !== undefined) return this.#part.resume();
    using pause = this.#pause();
    return { wasPaused: pause.end() };
  }

  async unmount(drainMs?: number): Promise<UnmountReport> {
    if (this.#part !== undefined) return this.#part.unmount(drainMs);
    const { pending, error } = syncFlush(this.#state());
    const { files, bytes } = pending;
    this.end();
    const { folder } = this.#options;
    return { drained: false, pending, error, guard: null, folder: { folder, files, bytes, error } };
  }

  end(): void {
    this.#ending.abort();
    this.#part?.end();
  }

  async #run(): Promise<void> {
    const { folder, open, clock, log } = this.#options;
    const { signal } = this.#ending;
    const failed = (error: unknown) => {
      const known = failureOf(error);
      if (this.#error?.message !== known.message) log.warn(`${folder} is not synced: ${describeError(error)}`);
      this.#error = known;
    };
    this.#part = await openLate(open, failed, { clock, signal });
    if (signal.aborted) this.#part?.end();
    await this.#part?.ended;
  }

  #pause(): Pause {
    const { pauseDir: stateDir, clock, log } = this.#options;
    return new Pause({ stateDir, clock, log, changed: () => {} });
  }

  #state(): SyncLoopState {
    return { report: undefined, error: this.#error, scansOnly: undefined, waiting: true };
  }
}
