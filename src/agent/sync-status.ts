/** What the agent of a synced folder tells about itself: as a mount's agent does, and what is particular to a folder. */
import { isNotSent } from "../sync/report.ts";
import type { FlushReport, PendingReport } from "./reports.ts";
import { reportError, type AgentStatus } from "./reports.ts";
import type { SyncLoopState } from "./sync-loop.ts";

export interface SyncFacts {
  readonly folder: string;
  readonly address: string;
  readonly cache: () => AgentStatus["cache"];
  readonly conflicts: () => AgentStatus["conflicts"];
}

export function syncStatus({ folder, address, cache, conflicts }: SyncFacts, state: SyncLoopState): AgentStatus {
  const { report, error, scansOnly } = state;
  const held = report?.guard ?? null;
  return {
    mount: null,
    doors: [{ door: "sync", folder }],
    bucket: address,
    pid: process.pid,
    root: report?.root ?? null,
    base: report?.root ?? "",
    online: error === undefined || !UNREACHABLE.has(error.code),
    lastError: reportError(error),
    pending: pendingOf(state, state.waiting),
    conflicts: conflicts(),
    guard: held === null ? null : { digest: held.digest, files: held.files },
    cache: cache(),
    collection: null,
    published: { flushes: 0, attempts: 0, uploadedBytes: 0, uploadedBlocks: 0, requests: 0, blocksRead: 0 },
    sync: { left: report?.left ?? [], notices: scansOnly === undefined, why: scansOnly ?? null },
  };
}

export function syncFlush(state: SyncLoopState): FlushReport {
  const { report, error } = state;
  // What is noticed after the round that was asked for, its own deeds among them, is for the next one.
  const pending = pendingOf(state, false);
  return {
    published: error === undefined && report !== undefined && report.guard === null && pending.files === 0,
    root: report?.root ?? null,
    version: null,
    attempts: 0,
    conflicts: report?.conflicts.length ?? 0,
    pending,
    error: reportError(error),
  };
}

/** How many files a folder has to publish is known by a scan only: of what is not in the bucket at least those that did not hold still, or cannot be read. */
function pendingOf({ report, error }: SyncLoopState, waiting: boolean): PendingReport {
  const left = (report?.left ?? []).filter(isNotSent);
  const files = Math.max(left.length, error !== undefined || waiting ? 1 : 0);
  return { files, bytes: 0, oldestMs: 0, etaMs: null };
}

const UNREACHABLE: ReadonlySet<string> = new Set(["arbiter_unreachable", "store_unreachable", "time_out"]);
