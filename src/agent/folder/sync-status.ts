/** The status of a synced folder's agent: what a mount's agent reports, and what is particular to a folder. */
import type { SynclineError } from "../../base/errors.ts";
import { isNotSent } from "../../sync/report.ts";
import { UNREACHABLE } from "../publishing/publish-errors.ts";
import type { FlushReport, PendingReport } from "../reports.ts";
import { reportError, type AgentStatus } from "../reports.ts";
import type { SyncLoopState } from "./sync-loop.ts";

export interface SyncFacts {
  readonly folder: string;
  readonly address: string;
  readonly cache: () => AgentStatus["cache"];
  readonly paused: () => AgentStatus["paused"];
  readonly requests: () => AgentStatus["requests"];
  readonly masters: () => AgentStatus["masters"];
  readonly conflicts: () => AgentStatus["conflicts"];
  /** What a scan counted; undefined before the first. */
  readonly waiting?: () => PendingReport | undefined;
}

export function syncStatus(
  { folder, address, paused, cache, requests, masters, conflicts, waiting }: SyncFacts,
  state: SyncLoopState,
): AgentStatus {
  const { report, error, scansOnly } = state;
  const held = report?.guard ?? null;
  const left = report?.left ?? [];
  return {
    mount: null,
    doors: [{ door: "sync", folder }],
    bucket: address,
    pid: process.pid,
    root: report?.root ?? null,
    base: report?.root ?? "",
    online: error === undefined || !UNREACHABLE.has(error.code),
    paused: paused(),
    lastError: reportError(error),
    pending: pendingOf(state, waiting?.(), state.waiting),
    lost: null,
    conflicts: conflicts(),
    guard: held,
    cache: cache(),
    pins: null,
    requests: requests(),
    masters: masters(),
    collection: null,
    published: { flushes: 0, attempts: 0, uploadedBytes: 0, uploadedBlocks: 0, requests: 0, blocksRead: 0 },
    sync: {
      left: left.slice(0, LEFT_REPORTED),
      leftPaths: left.length,
      notices: scansOnly === undefined,
      why: scansOnly ?? null,
    },
  };
}

/** `paused`: the error of the pause that prevented a pass. */
export function syncFlush(state: SyncLoopState, counted?: PendingReport, paused?: SynclineError): FlushReport {
  const { report } = state;
  const error = paused ?? state.error;
  // Notices after the requested pass, its own actions among them, are for the next pass.
  const pending = pendingOf(state, counted, paused !== undefined && state.waiting);
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

/** `isNoticed`: a change was noticed that no scan has counted yet. */
function pendingOf(
  { report, error }: SyncLoopState,
  counted: PendingReport | undefined,
  isNoticed: boolean,
): PendingReport {
  const left = (report?.left ?? []).filter(isNotSent);
  const isUncounted = isNoticed || (error !== undefined && counted === undefined);
  const { bytes, oldestMs, etaMs } = counted ?? { bytes: 0, oldestMs: 0, etaMs: null };
  const files = Math.max(left.length, counted?.files ?? 0, isUncounted ? 1 : 0);
  return { files, bytes, oldestMs, etaMs, ...(isUncounted && { isUncounted }) };
}

/** Where a large change in the bucket must wait, all of its paths are left. */
const LEFT_REPORTED = 1_000;
