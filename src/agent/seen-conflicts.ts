/** The newest conflicts that came of a synced folder's rounds: later rounds, which have none, leave them. */
import type { Clock } from "../base/clock.ts";
import type { WriterId } from "../base/ids.ts";
import type { Conflict } from "../bucket/merge/conflict.ts";
import type { SeenConflict } from "./publisher.ts";
import { conflictReport, type AgentStatus } from "./reports.ts";

export class SeenConflicts {
  readonly #clock: Clock;
  #seen: SeenConflict[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  remember(conflicts: readonly Conflict[]): void {
    const timeNs = this.#clock.nowNs();
    this.#seen = [...this.#seen, ...conflicts.map((conflict) => ({ conflict, timeNs }))].slice(-REMEMBERED);
  }

  /** `own`: this machine's writer, which goes by its name. */
  report(own: WriterId): AgentStatus["conflicts"] {
    return this.#seen.map((each) => conflictReport(each, own));
  }
}

const REMEMBERED = 1_000;
