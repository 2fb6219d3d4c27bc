/** What a folder has to publish, as counted by a scan, for display. */
import type { Entry } from "./known/entry.ts";
import type { LocalChange, LocalChanges } from "./scan/local-changes.ts";
import type { LocalObject, Matching } from "./scan/matching.ts";
import type { Found } from "./scan/walk.ts";

export interface Waiting {
  readonly files: number;
  /** Of contents. */
  readonly bytes: number;
  /** When the oldest change was made, in nanoseconds since 1970; undefined if nothing waits. */
  readonly sinceNs: bigint | undefined;
}

/** `lookedNs`: when the scan began. */
export function waitingIn({ changes, sources }: LocalChanges, matching: Matching, lookedNs: bigint): Waiting {
  const told = changes.filter(isTold);
  return {
    files: told.length,
    bytes: bytesOf([...sources.values()]),
    sinceNs: oldest(told.map(({ object }) => object.found[0]?.stat.ctimeNs ?? deletedNs(object, matching, lookedNs))),
  };
}

export function waitingOf(found: readonly Found[]): Waiting {
  return { files: found.length, bytes: bytesOf(found), sinceNs: oldest(found.map(({ stat }) => stat.ctimeNs)) };
}

/** The latest time at which it can have been deleted: when its directory changed last, or the scan that missed it. */
function deletedNs(object: LocalObject, matching: Matching, lookedNs: bigint): bigint {
  let directory: LocalObject | undefined = object;
  while (directory !== undefined && directory.found.length === 0) {
    const [entry]: readonly Entry[] = directory.entries;
    directory = entry && matching.ofId(entry.parent);
  }
  const changedNs = directory?.found[0]?.stat.ctimeNs;
  return changedNs === undefined || changedNs > lookedNs ? lookedNs : changedNs;
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
