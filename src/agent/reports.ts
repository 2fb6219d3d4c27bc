/** What an agent tells others about itself: the JSON of cli.md. */
import { hostname } from "node:os";
import type { SynclineError } from "../base/errors.ts";
import type { WriterId } from "../base/ids.ts";
import { nameToText } from "../base/names.ts";
import type { SeenConflict } from "./publisher.ts";

export interface PendingReport {
  readonly files: number;
  readonly bytes: number;
  readonly oldestMs: number;
  /** Null when nothing is moving or nothing is known yet. */
  readonly etaMs: number | null;
}

export interface AgentStatus {
  readonly mount: string;
  readonly bucket: string;
  readonly pid: number;
  /** The newest root that this agent saw, and the one that it stands on. */
  readonly root: string | null;
  readonly base: string;
  readonly online: boolean;
  readonly lastError: { readonly code: string; readonly message: string; readonly hint: string | null } | null;
  readonly pending: PendingReport;
  readonly conflicts: readonly { readonly path: string; readonly machine: string; readonly time: string }[];
  readonly guard: null;
  readonly cache: { readonly bytes: number; readonly limit: number };
  /** Totals since the agent started. */
  readonly published: {
    readonly flushes: number;
    readonly attempts: number;
    readonly uploadedBytes: number;
    readonly uploadedBlocks: number;
    readonly requests: number;
    readonly blocksRead: number;
  };
}

export interface FlushReport {
  readonly published: boolean;
  readonly root: string | null;
  readonly version: number | null;
  readonly attempts: number;
  readonly conflicts: number;
  readonly pending: PendingReport;
}

export interface UnmountReport {
  /** Nothing unpublished is left. */
  readonly drained: boolean;
  readonly pending: PendingReport;
}

export function reportError(error: SynclineError): AgentStatus["lastError"] {
  return { code: error.code, message: error.message, hint: error.hint ?? null };
}

/** Machines are known by their writer ids; this one by its name. */
export function conflictReport({ conflict, timeNs }: SeenConflict, own: WriterId): AgentStatus["conflicts"][number] {
  const path = conflict.names.kept.map(nameToText).join("/");
  const machine = conflict.writer === own ? hostname() : conflict.writer;
  return { path, machine, time: new Date(Number(timeNs / 1_000_000n)).toISOString() };
}
