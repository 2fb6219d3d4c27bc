/** What an agent reports: the JSON of docs/reference/command-line.md. */
import { timeText } from "../base/clock.ts";
import type { ErrorCode, SynclineError } from "../base/errors.ts";
import { nameToText } from "../base/names.ts";
import type { Retention } from "../format/commits/retention.ts";
import type { LostBytes } from "../overlay/data/lost-bytes.ts";
import type { HeldDeletions } from "../sync/deletion-limit.ts";
import type { MasterReport } from "../net/master-connection.ts";
import type { RequestReport } from "../objects/object-store.ts";
import type { Collected } from "../bucket/gc/need.ts";
import type { Pending } from "../overlay/pending.ts";
import type { CollectionState } from "./threads/background-collection.ts";
import { mountOf, type DoorReport } from "./doors/doors.ts";
import type { PauseReport } from "./state/pause.ts";
import type { PublisherState } from "./publishing/publisher.ts";
import type { SeenConflict } from "./publishing/seen-conflicts.ts";

export interface PendingReport extends Pending {
  /** Null when nothing is moving or the rate is unknown. */
  readonly etaMs: number | null;
  /** A synced folder has changed since it was counted: at least this much waits. */
  readonly isUncounted?: boolean;
}

export interface ErrorReport {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | null;
}

export interface AgentStatus {
  /** Null for an agent without a mount. */
  readonly mount: string | null;
  /** Each door with its kind (`door`) and address. */
  readonly doors: readonly DoorReport[];
  readonly bucket: string;
  readonly pid: number;
  /** The newest root that this agent saw, and its base. */
  readonly root: string | null;
  readonly base: string;
  readonly online: boolean;
  /** Null while syncing is not paused. */
  readonly paused: PauseReport | null;
  readonly lastError: ErrorReport | null;
  readonly pending: PendingReport;
  /** Files whose bytes the state folder lacked when this agent opened it. */
  readonly lost: LostBytes | null;
  readonly conflicts: readonly { readonly path: string; readonly machine: string; readonly time: string }[];
  /** A synced folder's deletions that await approval. */
  readonly guard: null | HeldDeletions;
  readonly cache: { readonly bytes: number; readonly limit: number };
  /** Null: nothing is pinned. */
  readonly pins: PinsReport | null;
  /** Requests to S3 since the agent started, by the classes that providers bill; null for other storage. */
  readonly requests: RequestReport | null;
  /** The masters that serve the bucket, and which is used; null without a master. */
  readonly masters: readonly MasterReport[] | null;
  /** Garbage collection; null if this agent does not collect by itself. */
  readonly collection: CollectionReport | null;
  /** Totals since the agent started. */
  readonly published: {
    readonly flushes: number;
    readonly attempts: number;
    readonly uploadedBytes: number;
    readonly uploadedBlocks: number;
    readonly requests: number;
    readonly blocksRead: number;
  };
  /** For a synced folder: where it differs from the bucket, and why; whether the system reports changes, or why not. */
  readonly sync?: {
    /** The first of them. */
    readonly left: readonly { readonly path: string; readonly why: string }[];
    readonly leftPaths: number;
    readonly notices: boolean;
    readonly why: string | null;
  };
}

export interface PinsReport {
  readonly paths: readonly { readonly path: string; readonly absent: boolean }[];
  readonly files: number;
  /** Bytes of the pinned files, and of the blocks that are kept for them. */
  readonly bytes: number;
  readonly keptBytes: number;
  /** Whether everything is here. */
  readonly complete: boolean;
  /** Why not. Null if the rest is only a matter of time. */
  readonly error: ErrorReport | null;
}

export interface FreeReport {
  /** Published files whose contents are now only in the bucket. */
  readonly files: number;
  /** Bytes of disk space that were freed. */
  readonly freedBytes: number;
  /** Unpublished files, which stay. */
  readonly unpublished: { readonly files: number; readonly bytes: number };
  /** Pinned paths, which stay. */
  readonly pinned: readonly string[];
}

export interface CollectionReport {
  readonly running: boolean;
  /** The last collection by this agent since it started. */
  readonly last: {
    readonly time: string;
    /** Roots that are still retained. */
    readonly retained: number;
    /** Null, as the next two, where the agent only thins the history: the master collects. */
    readonly objects: number | null;
    readonly bytes: number | null;
    readonly freedBytes: number | null;
    /** Leases and bases that cannot be read. */
    readonly passedOver: readonly { readonly object: string; readonly what: string }[];
    /** Up to which ages roots are retained, in seconds. */
    readonly retention: Retention;
  } | null;
  readonly error: ErrorReport | null;
}

export interface FlushReport {
  /** Everything written before the request is in `root`; writes during it may be `pending`. */
  readonly published: boolean;
  readonly root: string | null;
  readonly version: number | null;
  readonly attempts: number;
  readonly conflicts: number;
  readonly pending: PendingReport;
  /** Why it was not published. */
  readonly error: ErrorReport | null;
}

export interface UnmountReport {
  /** Nothing unpublished is left. */
  readonly drained: boolean;
  readonly pending: PendingReport;
  /** Why something is left. */
  readonly error: ErrorReport | null;
  /** A synced folder's deletions that await approval. */
  readonly guard?: AgentStatus["guard"];
  /** A synced folder that does not show everything, or has unpublished changes. */
  readonly folder?: {
    readonly folder: string;
    readonly files: number;
    readonly bytes: number;
    readonly error: ErrorReport | null;
  };
}

export interface AgentFacts {
  readonly doors: readonly DoorReport[];
  readonly address: string;
  readonly paused: AgentStatus["paused"];
  readonly lost: AgentStatus["lost"];
  readonly cache: AgentStatus["cache"];
  readonly pins: AgentStatus["pins"];
  readonly requests: AgentStatus["requests"];
  readonly masters: AgentStatus["masters"];
  readonly collection: CollectionState | undefined;
}

export function statusReport(facts: AgentFacts, state: PublisherState, pending: PendingReport): AgentStatus {
  const { flushes, attempts, uploadedBytes, uploadedBlocks, requests, blocksRead } = state.totals;
  return {
    mount: mountOf(facts.doors) ?? null,
    doors: facts.doors,
    bucket: facts.address,
    pid: process.pid,
    root: state.root ?? null,
    base: state.base.commit,
    online: state.online,
    paused: facts.paused,
    lastError: reportError(state.lastError),
    pending,
    lost: facts.lost,
    conflicts: state.conflicts.map(conflictReport),
    guard: null,
    cache: facts.cache,
    pins: facts.pins,
    requests: facts.requests,
    masters: facts.masters,
    collection: facts.collection === undefined ? null : collectionReport(facts.collection),
    published: { flushes, attempts, uploadedBytes, uploadedBlocks, requests, blocksRead },
  };
}

/** `pending`: counted at least `askedMs` milliseconds after the request. `paused`: the error of the pause, if there is one. */
export function flushReport(
  state: PublisherState,
  pending: PendingReport,
  askedMs: number,
  paused?: SynclineError,
): FlushReport {
  const isNewer = pending.files === 0 || pending.oldestMs < askedMs;
  const error = paused ?? state.lastError;
  return {
    published: isNewer && error === undefined,
    root: state.base.commit,
    version: state.version ?? null,
    attempts: state.last.attempts,
    conflicts: state.last.conflicts,
    pending,
    error: reportError(error),
  };
}

function collectionReport({ running, last, error }: CollectionState): CollectionReport {
  if (last === undefined) return { running, last: null, error: reportError(error) };
  const { retention, commits } = last.report;
  const common = { time: timeText(last.timeNs), retained: commits.after, retention };
  return { running, last: { ...common, ...spaceOf(last.report) }, error: reportError(error) };
}

function spaceOf(report: Collected) {
  if (!("bytes" in report)) return { objects: null, bytes: null, freedBytes: null, passedOver: [] };
  const { objects, bytes, freedBytes, passedOver } = report;
  return { objects: objects.after, bytes: bytes.after, freedBytes, passedOver };
}

export function reportError(error: SynclineError | undefined): ErrorReport | null {
  return error === undefined ? null : { code: error.code, message: error.message, hint: error.hint ?? null };
}

/** If a writer's commits name no machine, its id is used. */
export function conflictReport({ conflict, machine, timeNs }: SeenConflict): AgentStatus["conflicts"][number] {
  const path = conflict.names.kept.map(nameToText).join("/");
  return { path, machine: machine === "" ? conflict.writer : machine, time: timeText(timeNs) };
}
