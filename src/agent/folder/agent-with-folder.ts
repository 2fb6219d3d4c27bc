/**
 * An agent that syncs a folder beside its other doors. The folder is a separate writer in the same process, with its own
 * state, device and database. The folder and the other doors get each other's published changes as other agents do. Callers
 * see one agent: one status, and a flush or an unmount covers all doors.
 */
import type { Agent, AgentOptions } from "../agent.ts";
import type { ControlAnswers } from "../control.ts";
import type { DoorReport, SyncedFolderReport } from "../doors/doors.ts";
import type { AgentStatus, FlushReport, PendingReport, UnmountReport } from "../reports.ts";
import { startAgent } from "../start-agent.ts";
import type { WatchedFolder } from "./watched-folder.ts";

/** The folder as the agent sees it. */
export type FolderPart = Pick<WatchedFolder, "status" | "flush" | "pause" | "resume" | "unmount" | "end" | "ended">;

/** Starts the agent, then the folder; `watch` begins the folder's passes. Throws as `startAgent`. */
export async function startAgentWithFolder(
  options: AgentOptions,
  folder: string,
  watch: () => FolderPart,
): Promise<Agent> {
  const answers = (own: ControlAnswers): ControlAnswers => ({
    ...own,
    status: async () => withFolder(await own.status(), await watched.status()),
    flush: (allowDeletes) => flushBoth(own, watched, allowDeletes),
    pause: async (forMs) => {
      await watched.pause(forMs);
      return own.pause(forMs);
    },
    resume: async () => {
      const [one, other] = [await watched.resume(), await own.resume()];
      return { wasPaused: one.wasPaused || other.wasPaused };
    },
    unmount: (drainMs = options.drainMs) => both.unmount(drainMs, false),
  });
  const agent = await startAgent({ ...options, answers });
  const watched = watch();
  const both = new AgentWithFolder(agent, watched, { door: "sync", folder }, options);
  return both;
}

/**
 * Publishes the folder's changes first, so that the other doors adopt them. One more pass then brings theirs to the folder.
 */
export async function flushBoth(
  own: Pick<Agent, "flush">,
  folder: Pick<FolderPart, "flush">,
  allowDeletes?: string,
): Promise<FlushReport> {
  const before = await folder.flush(allowDeletes);
  const report = await own.flush();
  // A failed pass has reported why; another would fail the same way.
  if (before.error !== null || before.root === report.root) return bothFlushed(report, before);
  const after = await folder.flush();
  return bothFlushed(report, { ...after, conflicts: before.conflicts + after.conflicts });
}

/** The last pass may take this long even when the time is up. */
const LAST_PASS_MS = 2_000;

class AgentWithFolder implements Agent {
  readonly ended: Promise<UnmountReport>;
  readonly #agent: Agent;
  readonly #watched: FolderPart;
  readonly #door: SyncedFolderReport;
  readonly #clock: AgentOptions["clock"];
  readonly #drainMs: number;
  /** When the current unmount stops waiting. */
  #endMs: number | undefined;
  #left: Promise<UnmountReport> | undefined;

  constructor(
    agent: Agent,
    watched: FolderPart,
    door: SyncedFolderReport,
    { clock, drainMs }: Pick<AgentOptions, "clock" | "drainMs">,
  ) {
    this.#agent = agent;
    this.#watched = watched;
    this.#door = door;
    this.#clock = clock;
    this.#drainMs = drainMs;
    this.ended = agent.ended.then(
      async (report) => joinedReport(report, await this.#leave()),
      async (error: unknown) => {
        await this.#leave();
        throw error;
      },
    );
    // Callers await `ended` if they need it.
    this.ended.catch(() => {});
  }

  get doors(): readonly DoorReport[] {
    return [...this.#agent.doors, this.#door];
  }

  async status(): Promise<AgentStatus> {
    return withFolder(await this.#agent.status(), await this.#watched.status());
  }

  flush(): Promise<FlushReport> {
    return flushBoth(this.#agent, this.#watched);
  }

  async unmount(drainMs: number, lazy: boolean): Promise<UnmountReport> {
    this.#endMs = this.#clock.monotonicMs() + drainMs;
    // If the mount is busy, it stays, and so does the folder.
    const report = await this.#agent.unmount(drainMs, lazy);
    return joinedReport(report, await this.#leave());
  }

  hurry(): void {
    this.#agent.hurry();
    this.#watched.end();
  }

  /** Publishes the folder's changes in the time that is left. The rest stays in the folder. Runs once. */
  #leave(): Promise<UnmountReport> {
    const leftMs = this.#endMs === undefined ? this.#drainMs : this.#endMs - this.#clock.monotonicMs();
    return (this.#left ??= this.#watched.unmount(Math.max(leftMs, LAST_PASS_MS)).then(async (report) => {
      await this.#watched.ended;
      return report;
    }));
  }
}

/** The status of both; cache, pins and masters are the agent's. */
export function withFolder(own: AgentStatus, folder: AgentStatus): AgentStatus {
  const { doors, online, lastError, pending, conflicts, guard, requests, sync } = folder;
  return {
    ...own,
    doors: [...own.doors, ...doors],
    online: own.online && online,
    lastError: own.lastError ?? lastError,
    pending: bothPending(own.pending, pending),
    conflicts: [...own.conflicts, ...conflicts],
    guard,
    requests: bothRequests(own.requests, requests),
    ...(sync === undefined ? {} : { sync }),
  };
}

/** Each opened the bucket for itself, and counts its own requests. */
function bothRequests(one: AgentStatus["requests"], other: AgentStatus["requests"]): AgentStatus["requests"] {
  if (one === null || other === null) return one ?? other;
  return {
    put: one.put + other.put,
    list: one.list + other.list,
    get: one.get + other.get,
    delete: one.delete + other.delete,
    refused: one.refused + other.refused,
    forMs: Math.max(one.forMs, other.forMs),
  };
}

function bothFlushed(own: FlushReport, folder: FlushReport): FlushReport {
  return {
    ...own,
    published: own.published && folder.published,
    conflicts: own.conflicts + folder.conflicts,
    pending: bothPending(own.pending, folder.pending),
    error: own.error ?? folder.error,
  };
}

/** Reports what the folder lacks or still has apart from what the other doors leave in their state. */
export function joinedReport(own: UnmountReport, last: UnmountReport): UnmountReport {
  const drained = own.drained && last.drained;
  const pending = bothPending(own.pending, last.pending);
  const report: UnmountReport = { drained, pending, error: own.error ?? last.error, guard: last.guard ?? null };
  return last.folder === undefined ? report : { ...report, folder: last.folder };
}

function bothPending(one: PendingReport, other: PendingReport): PendingReport {
  return {
    files: one.files + other.files,
    bytes: one.bytes + other.bytes,
    oldestMs: Math.max(one.oldestMs, other.oldestMs),
    etaMs: one.etaMs === null || other.etaMs === null ? (one.etaMs ?? other.etaMs) : Math.max(one.etaMs, other.etaMs),
    ...(other.isUncounted === true && { isUncounted: true }),
  };
}
