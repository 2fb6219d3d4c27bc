/** Files that were written, but whose bytes are in no data file, or beyond its end: they read as zeros. */
import type { Ino } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import { nameToText } from "../../base/names.ts";
import type { Segment } from "../../fstree/change-set.ts";
import type { OverlayState } from "../state.ts";

interface HeldBytes {
  endOf(ino: Ino, epoch: number): number;
}

export interface LostBytes {
  readonly files: number;
  /** Of the first few. */
  readonly names: readonly string[];
}

const NAMED = 5;

/** Call at a start. Logs a warning if there are any: only power loss should take bytes, and only those that were not synced. */
export function findLost(state: OverlayState, data: HeldBytes, log: Log): LostBytes | undefined {
  const names: string[] = [];
  let files = 0;
  for (const { ino, links, extents } of state.objects()) {
    const sealed = state.inFlight?.objects.get(ino)?.content;
    const segments = sealed?.kind === "edited" ? sealed.segments : [];
    if (!isLacking(data, ino, segments) && !isLacking(data, ino, extents?.segments() ?? [])) continue;
    files++;
    const [link] = links;
    if (link !== undefined && names.length < NAMED) names.push(nameToText(link.name));
  }
  if (files === 0) return undefined;
  log.warn(
    "Files were written whose bytes this state folder lacks: they read as zeros. Either the power failed before they were " +
      "synced, or data/ was restored from an earlier moment than journal/.",
    { files, names: names.join(", ") },
  );
  return { files, names };
}

function isLacking(data: HeldBytes, ino: Ino, segments: readonly Segment[]): boolean {
  return segments.some(
    ({ from, epoch, offset, length }) => from === "data" && data.endOf(ino, epoch) < offset + length,
  );
}
