/** What a folder has to publish, as counted by a scan, for display. */
import type { LocalChange, LocalChanges } from "./scan/local-changes.ts";
import type { Found } from "./scan/walk.ts";

export interface Waiting {
  readonly files: number;
  /** Of contents. */
  readonly bytes: number;
  /** When the oldest change was made, in nanoseconds since 1970; undefined if nothing waits. */
  readonly sinceNs: bigint | undefined;
}

/** `lookedNs`: when the scan began. A deletion is as old as the scan that found it. */
export function waitingIn({ changes, sources }: LocalChanges, lookedNs: bigint): Waiting {
  const told = changes.filter(isTold);
  return {
    files: told.length,
    bytes: bytesOf([...sources.values()]),
    sinceNs: oldest(told.map(({ object }) => object.found[0]?.stat.ctimeNs ?? lookedNs)),
  };
}

export function waitingOf(found: readonly Found[]): Waiting {
  return { files: found.length, bytes: bytesOf(found), sinceNs: oldest(found.map(({ stat }) => stat.ctimeNs)) };
}

/** A directory whose entries changed is not a change by itself. */
function isTold({ action, changed: { record, base } }: LocalChange): boolean {
  return action !== "changed" || (record ?? base)?.type !== "directory";
}

function bytesOf(found: readonly Found[]): number {
  return found.reduce((sum, { stat }) => sum + (stat.type === "file" ? stat.size : 0), 0);
}

function oldest(times: readonly bigint[]): bigint | undefined {
  return times.reduce<bigint | undefined>(
    (least, each) => (least === undefined || each < least ? each : least),
    undefined,
  );
}
