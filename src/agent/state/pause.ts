/**
 * Whether syncing is paused, in both directions, as in Dropbox, Nextcloud and Syncthing. Kept in the state, so that a pause
 * outlives its agent. If its file is unreadable, nothing is paused: unpublished work is the greater danger. Programs' reads still
 * fetch, since an error would look like damage.
 */
import { join } from "node:path";
import { timeText } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Ports } from "../../base/ports.ts";
import { orElse, unlessSync } from "../../base/unless.ts";
import { readStateFile, removeStateFile, writeStateFile } from "./state-file.ts";

export interface PauseReport {
  readonly since: string;
  /** Null: until `syncline resume`. */
  readonly until: string | null;
}

/** What is stored. Times are milliseconds since 1970; no `untilMs`: until someone resumes. */
export interface StoredPause {
  readonly sinceMs: number;
  readonly untilMs?: number;
}

export interface PauseOptions extends Pick<Ports, "clock" | "log"> {
  readonly stateDir: string;
  /** Called when a pause begins or ends, except at the start. */
  readonly changed: (isPaused: boolean) => void;
}

const NAME = "paused.json";
/** A timer is late after the machine slept, so the end of a pause is checked this often. */
const LOOK_MS = 30_000;
/** The last time that a Date can hold. */
const LAST_MS = 8_640_000_000_000_000;

export class Pause implements Disposable {
  readonly #options: PauseOptions;
  #stored: StoredPause | undefined;
  /** When the pause is over by the monotonic clock: the other clock may have been wrong when it began. */
  #endMs = Infinity;
  #timer: Disposable | undefined;

  constructor(options: PauseOptions) {
    this.#options = options;
    const bytes = readStateFile(this.#path);
    this.#stored = bytes === undefined ? undefined : parsePause(bytes);
    if (this.#stored?.untilMs !== undefined) this.#endIn(this.#stored.untilMs - this.#stored.sinceMs);
    if (this.#isOver()) {
      this.#stored = undefined;
      this.#removeOver();
    }
    this.#arm();
  }

  get report(): PauseReport | null {
    if (this.#stored === undefined) return null;
    const { sinceMs, untilMs } = this.#stored;
    const nowMs = this.#nowMs();
    // It began by a clock that was ahead, so its times mean nothing now.
    const isAhead = sinceMs > nowMs;
    const endMs = isAhead && untilMs !== undefined ? this.#leftMs() + nowMs : untilMs;
    return { since: textOf(isAhead ? nowMs : sinceMs), until: endMs === undefined ? null : textOf(endMs) };
  }

  /** The error for callers that want something synced now; undefined while syncing is not paused. */
  get error(): SynclineError | undefined {
    const { report } = this;
    if (report === null) return undefined;
    return new SynclineError("paused", `Syncing is paused${report.until === null ? "" : ` until ${report.until}`}.`, {
      hint: "`syncline resume` ends the pause.",
    });
  }

  /** Pauses for `forMs`, or until `end`. A pause under way gets the new end. */
  begin(forMs: number | undefined): PauseReport {
    const nowMs = this.#nowMs();
    const until = forMs === undefined ? {} : { untilMs: Math.min(Math.round(nowMs + forMs), LAST_MS) };
    const stored = { sinceMs: Math.min(this.#stored?.sinceMs ?? nowMs, nowMs), ...until };
    writeStateFile(this.#path, Buffer.from(JSON.stringify(stored)));
    this.#endIn(forMs ?? Infinity);
    this.#set(stored);
    return { since: textOf(stored.sinceMs), until: stored.untilMs === undefined ? null : textOf(stored.untilMs) };
  }

  /** Ends the pause; answers whether there was one. */
  end(): boolean {
    const wasPaused = this.#stored !== undefined;
    // Writes nothing: what waits to be published may have filled the disk.
    if (wasPaused) unlessSync("ENOENT", () => removeStateFile(this.#path));
    this.#set(undefined);
    return wasPaused;
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #set(stored: StoredPause | undefined): void {
    const wasPaused = this.#stored !== undefined;
    this.#stored = stored;
    this.#arm();
    if (wasPaused === (stored !== undefined)) return;
    const { until } = this.report ?? {};
    this.#options.log.info(stored === undefined ? "Resumed." : `Paused${until ? ` until ${until}` : ""}.`);
    this.#options.changed(stored !== undefined);
  }

  /** Removes the file of a pause that is over: it would pause a later agent whose clock has been set back. Best effort. */
  #removeOver(): void {
    orElse(undefined, () => removeStateFile(this.#path));
  }

  #arm(): void {
    this.#timer?.[Symbol.dispose]();
    const untilMs = this.#stored?.untilMs;
    if (untilMs === undefined) return;
    const waitMs = Math.max(0, Math.min(untilMs - this.#nowMs(), this.#leftMs(), LOOK_MS));
    this.#timer = this.#options.clock.after(waitMs, () => {
      if (!this.#isOver()) return this.#arm();
      this.#removeOver();
      this.#set(undefined);
    });
  }

  #isOver(): boolean {
    return this.#nowMs() >= (this.#stored?.untilMs ?? Infinity) || this.#leftMs() <= 0;
  }

  #endIn(ms: number): void {
    this.#endMs = this.#options.clock.monotonicMs() + ms;
  }

  #leftMs(): number {
    return this.#endMs - this.#options.clock.monotonicMs();
  }

  #nowMs(): number {
    return Number(this.#options.clock.nowNs() / 1_000_000n);
  }

  get #path(): string {
    return join(this.#options.stateDir, NAME);
  }
}

/** Undefined if there is no pause. Unreadable bytes count as none: unpublished work is the greater danger. */
export function parsePause(bytes: Uint8Array): StoredPause | undefined {
  return orElse(undefined, () => {
    const { sinceMs, untilMs } = JSON.parse(Buffer.from(bytes).toString("utf8")) as Record<keyof StoredPause, unknown>;
    if (!isTime(sinceMs)) return undefined;
    if (untilMs === undefined) return { sinceMs };
    return isTime(untilMs) ? { sinceMs, untilMs } : undefined;
  });
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= LAST_MS;
}

function textOf(ms: number): string {
  return timeText(BigInt(ms) * 1_000_000n);
}
