/** Files that were written, but whose bytes are in no data file, or beyond its end: they read as zeros. */
import type { Ino } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import { nameToText } from "../../base/names.ts";
import type { Segment } from "../../fstree/change-set.ts";
import type { OverlayState } from "../state.ts";

interface FoundBytes {
  ownInos(): Iterable<Ino>;
  found(ino: Ino, segments: readonly Segment[]): void;
}

interface HeldBytes {
  endOf(ino: Ino, epoch: number): number;
  lose(ino: Ino, epoch: number): void;
}

export interface LostBytes {
  readonly files: number;
  /** Of the first few. */
  readonly names: readonly string[];
}

const NAMED = 5;

/**
 * Call at a start: afterwards, a missing data file is an error. Logs a warning if bytes are lost. Only power loss should take
 * any, and only those that were not synced.
 */
export function findLost(state: OverlayState, data: HeldBytes, log: Log): LostBytes | undefined {
  const names: string[] = [];
  let files = 0;
  for (const { ino, links, extents } of state.objects()) {
    const sealed = state.inFlight?.objects.get(ino)?.content;
    const isLacking = ({ from, epoch, offset, length }: Segment) =>
      from === "data" && data.endOf(ino, epoch) < offset + length;
    const lacking = (sealed?.kind === "edited" ? sealed.segments : []).filter(isLacking);
    for (const segment of extents?.all() ?? []) if (isLacking(segment)) lacking.push(segment);
    if (lacking.length === 0) continue;
    for (const segment of lacking) if (segment.from === "data") data.lose(ino, segment.epoch);
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

/** Counts the bytes that data files held before this start. */
export function countFound(state: OverlayState, data: FoundBytes): void {
  for (const ino of data.ownInos()) {
    const sealed = state.inFlight?.objects.get(ino)?.content;
    if (sealed?.kind === "edited") data.found(ino, sealed.segments);
    data.found(ino, state.object(ino)?.extents?.segments() ?? []);
  }
}
