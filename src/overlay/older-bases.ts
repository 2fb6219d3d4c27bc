/**
 * Older bases that the merge of unpublished changes needs, since others changed the same objects after them. Collections
 * must keep them. They are derived from journal records, so a restart finds the same ones.
 */
import { type BaseChange, idsOf } from "../fstree/change-set.ts";
import type { FileId } from "../base/ids.ts";
import type { DirtyObject } from "./dirty-object.ts";
import type { BaseRoot } from "./journal/journal-record.ts";

export interface OlderBase {
  readonly base: BaseRoot;
  /** Changes of epochs up to this one may need it. */
  readonly epoch: number;
}

/** The oldest ones. Collections may take what only others have. */
const MOST_OLDER_BASES = 8;

/** The parts of the overlay's state that decide it. */
interface Rested {
  /** The number of the live epoch. */
  readonly epoch: number;
  /** Changes that wait. */
  readonly publishable: number;
  /** The oldest first. */
  olderBases: readonly OlderBase[];
  /** Objects of which the older bases have all that the merge needs. In memory only. */
  covered: WeakSet<DirtyObject>;
  isUntouched: boolean;
  objects(): Iterable<DirtyObject>;
}

/** `base` was the base until now. `published`: the epoch that is in the bucket now; 0: none. */
export function passBase(state: Rested, base: BaseRoot, published: number): void {
  const older = state.olderBases.filter(({ epoch }) => epoch > published).map((each) => each.base);
  if (!state.isUntouched) {
    older.push(base);
    // What an epoch published and left changed rests on what it published.
    state.covered = new WeakSet(published === 0 ? state.objects() : []);
  }
  const needed = state.publishable > 0 ? older.slice(0, MOST_OLDER_BASES) : [];
  state.olderBases = needed.map((each) => ({ base: each, epoch: state.epoch }));
  state.isUntouched = false;
}

/** Some changes were left out of the epoch that is sealed: they go to the live one. */
export function leaveBases(state: Rested): void {
  state.olderBases = state.olderBases.map(({ base }) => ({ base, epoch: state.epoch }));
}

/**
 * Whether others changed no object that waits and rests on the present base: then nothing will need that. `published`: as
 * above.
 */
export function isUntouched(
  state: Pick<Rested, "covered"> & { dirtyWithId(id: FileId): DirtyObject | undefined },
  changes: readonly BaseChange[] | undefined,
  published: number,
): boolean {
  const rests = (id: FileId, change: BaseChange) => {
    const object = state.dirtyWithId(id);
    return object !== undefined && object.epoch > published && !state.covered.has(object) && isNeeded(object, change);
  };
  return changes?.every((change) => !idsOf(change).some((id) => rests(id, change))) ?? false;
}

/** A directory's time changes with everything that is put into it. */
function isNeeded({ type }: DirtyObject, change: BaseChange): boolean {
  return type !== "directory" || change.kind === "dentry" || change.removed || change.moved;
}
