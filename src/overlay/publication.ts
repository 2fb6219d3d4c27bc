/** What the journal records once the epoch in flight is in the bucket, and what doors must look up again. */
import { SynclineError } from "../base/errors.ts";
import type { FileId, Ino } from "../base/ids.ts";
import { ROWS_PER_RECORD } from "../base/limits.ts";
import type { NewBase, PublishedEpoch } from "../fstree/change-set.ts";
import { followingOf } from "./follow.ts";
import type { BaseRoot, JournalRecord, PublishedRow } from "./journal/journal-record.ts";
import { isUntouched } from "./older-bases.ts";
import { changedSince, type Joining, joiningOf, joinsOf } from "./settle.ts";
import type { OverlayState } from "./state.ts";

export interface Publication {
  /** Take effect with the last of them. Each group must be journaled at once. */
  readonly records: readonly (readonly JournalRecord[])[];
  readonly stale: Joining;
}

/**
 * Call this before the epoch is settled. `isFound`: an earlier run sealed it, so a power loss may have taken bytes that the
 * bucket has. Throws `internal` if the result does not fit the epoch in flight.
 */
export function publicationOf(state: OverlayState, result: PublishedEpoch, isFound: boolean): Publication {
  const { epoch } = result;
  const ids = new Map(Array.from(result.objects, ([ino, { id }]) => [ino, id]));
  checkComplete(state, epoch, ids);
  const joins = joinsOf(state, ids);
  const joining = joiningOf(state, joins);
  const following = followingOf(state, result, ids);
  const rows = Array.from(result.objects, ([ino, { id, record, names }]): PublishedRow => {
    const kept = changedSince(state, ino, epoch) ? { record, names } : undefined;
    return { ino, id, kept, joined: joins.get(ino) };
  });
  const records: JournalRecord[][] = [];
  for (let at = 0; at === 0 || at < rows.length; at += ROWS_PER_RECORD)
    records.push([{ kind: "rows", first: at === 0, rows: rows.slice(at, at + ROWS_PER_RECORD) }]);
  for (let at = 0; at < following.objects.length; at += ROWS_PER_RECORD)
    records.push([{ kind: "follow", objects: following.objects.slice(at, at + ROWS_PER_RECORD) }]);
  // Otherwise what changed since the seal counts as resting on the base before.
  const leaves = state.olderBases.some((older) => older.epoch > epoch);
  // Objects that follow wait from now on, as they were before others changed them.
  const untouched = leaves && following.objects.length === 0 && isUntouched(state, result.base.changes, epoch);
  records.push([...(untouched ? [UNTOUCHED] : []), { kind: "published", epoch, base: rootOf(result.base) }]);
  const inodes = [...joining.inodes, ...following.inodes, ...(isFound ? writtenIn(state) : [])];
  return { records, stale: { inodes, names: [...joining.names, ...following.names] } };
}

/** The files whose bytes the epoch in flight changed. */
function writtenIn({ inFlight }: OverlayState): Ino[] {
  return (inFlight?.changes.objects ?? []).filter(({ content }) => content.kind === "edited").map(({ ino }) => ino);
}

/** As records that must be journaled at once. */
export function adoptionOf(state: OverlayState, base: NewBase): JournalRecord[] {
  const untouched = state.publishable > 0 && isUntouched(state, base.changes, 0);
  return [...(untouched ? [UNTOUCHED] : []), { kind: "adopt", base: rootOf(base) }];
}

const UNTOUCHED: JournalRecord = { kind: "untouched" };

const rootOf = ({ commit, tree, seq }: NewBase): BaseRoot => ({ commit, tree, seq });

function checkComplete({ inFlight }: OverlayState, epoch: number, published: ReadonlyMap<Ino, FileId>): void {
  const changes = inFlight?.changes;
  const lacking = changes?.objects.find(({ ino, record }) => record !== undefined && !published.has(ino));
  if (changes?.epoch === epoch && lacking === undefined) return;
  throw new SynclineError("internal", `The published changes do not match the sealed epoch ${changes?.epoch}.`);
}
