/**
 * Updates the overlay once its epoch is in the bucket. Objects unchanged since become the base's; the others keep the
 * published rows as their base.
 */
import type { ChangedObject } from "../fstree/change-set.ts";
import { type FileId, type Ino, ROOT_ID, ROOT_INO } from "../base/ids.ts";
import type { FileType } from "../format/files/record.ts";
import { corruptState } from "./data/bytes.ts";
import { type DirtyObject, isUnlinked } from "./dirty-object.ts";
import { follow } from "./follow.ts";
import type { Joined, JournalRecord, PublishedRow } from "./journal/journal-record.ts";
import type { Link } from "./links.ts";
import { withValuesOf } from "./long-values.ts";
import { passBase } from "./older-bases.ts";
import type { InFlight, OverlayState } from "./state.ts";

export function settlePublished(state: OverlayState, record: Extract<JournalRecord, { kind: "published" }>): void {
  const flight = state.inFlight;
  if (flight === undefined || flight.changes.epoch !== record.epoch)
    throw corruptState(`Epoch ${record.epoch} was published but was not in flight.`);
  const rows = new Map(state.publishedRows);
  const followed = [...state.followed];
  const { base } = state;
  state.forgetPublished();
  state.inFlight = undefined;
  state.base = record.base;
  // Removed objects come first: a replaced object hands on its id.
  for (const changed of flight.changes.objects) {
    if (changed.record === undefined) settleDeleted(state, changed, rows.get(changed.ino));
  }
  // Directories of the epoch that others of it took over, and numbers replaced by one that stays.
  const takenOver = new Set<Ino>();
  const gone = new Map<Ino, Ino>();
  const heirs = new Map<Ino, Ino>();
  for (const changed of flight.changes.objects) {
    if (changed.record === undefined || takenOver.has(changed.ino)) continue;
    const row = rows.get(changed.ino);
    if (row === undefined) throw corruptState(`The published epoch ${record.epoch} lacks inode ${changed.ino}.`);
    const object = state.dirty(changed.ino);
    const other = row.joined && (gone.get(row.joined.other) ?? row.joined.other);
    if (other !== undefined) {
      const stays = takeOver(state, changed, { other, holds: row.joined?.holds === true });
      if (stays === other) gone.set(changed.ino, other);
      heirs.set(stays === other ? changed.ino : other, stays);
      if (stays === other) continue;
      takenOver.add(other);
    }
    if (object.epoch <= record.epoch) dropPublished(state, flight, rows, changed, object, row.id);
    else keepPublished(state, flight, rows, changed, object, row);
  }
  follow(state, followed, heirs);
  passBase(state, base, record.epoch);
}

/** Whether an object of the epoch in flight changed again: its published row is then needed. */
export function changedSince(state: OverlayState, ino: Ino, epoch: number): boolean {
  return (state.object(ino)?.epoch ?? 0) > epoch;
}

/**
 * For each object of the epoch in flight that becomes another one: the number that stood for that one. `ids`: the ids that
 * its objects get. Call this before the epoch is settled, and journal the result: inode rows are written ahead of
 * checkpoints, so a replay may find newer ones.
 */
export function joinsOf(state: OverlayState, ids: ReadonlyMap<Ino, FileId>): Map<Ino, Joined> {
  const joins = new Map<Ino, Joined>();
  const first = new Map<FileId, Ino>();
  for (const changed of state.inFlight?.changes.objects ?? []) {
    const { ino } = changed;
    const id = ids.get(ino);
    if (id === undefined || changed.record === undefined) continue;
    const sibling = first.get(id);
    first.set(id, ino);
    const other = sibling ?? bearerOf(state, changed, id);
    if (other === undefined || other === ino || joins.get(other)?.other === ino || isDeleted(state, other)) continue;
    // An object that becomes something else itself is not what this one becomes.
    if ((ids.get(other) ?? id) !== id) continue;
    joins.set(ino, { other, holds: typeOf(changed) === "directory" && isWithin(state, ino, other) });
  }
  return joins;
}

/**
 * Numbers that come to stand for one object, their names, and the changed names in all of them, which end up in one. What
 * they show changes, although no other writer changed it.
 */
export interface Joining {
  readonly inodes: readonly Ino[];
  readonly names: readonly Link[];
}

export function joiningOf(state: OverlayState, joins: ReadonlyMap<Ino, Joined>): Joining {
  const pairs = [...joins].map(([ino, { other }]) => [ino, other]);
  const names = pairs.flatMap((pair) => {
    const inside = new Set(pair.flatMap((ino) => [...(state.entries(ino)?.keys() ?? [])]));
    return pair.flatMap((ino) => [
      ...(state.object(ino)?.links ?? []),
      ...[...inside].map((name) => ({ parent: ino, name })),
    ]);
  });
  return { inodes: pairs.flat(), names };
}

/** The number that stood for the object with this id until now. */
function bearerOf(state: OverlayState, changed: ChangedObject, id: FileId): Ino | undefined {
  const dirty = state.dirtyWithId(id)?.ino;
  if (dirty !== undefined || typeOf(changed) !== "directory" || changed.id === id) return dirty;
  return state.inodes.find(id)?.ino;
}

function typeOf({ record }: ChangedObject): FileType | undefined {
  return record?.type;
}

/** Whether the epoch in flight deletes the object: its id then passes on. */
function isDeleted({ inFlight }: OverlayState, ino: Ino): boolean {
  const changed = inFlight?.objects.get(ino);
  return changed !== undefined && changed.record === undefined;
}

/**
 * Two numbers came to stand for one object: others had created one under the name of a new one here, or a directory became
 * another one. The new number stays. A file that changed under the other number becomes a separate file; a directory hands
 * over its entries. If the new one was removed meanwhile, or the old one holds it, the old number stays and the new one is
 * gone.
 */
function takeOver(state: OverlayState, { ino, record }: ChangedObject, { other, holds }: Joined): Ino {
  const changed = state.object(other);
  const isDirectory = record?.type === "directory";
  if (isDirectory && isUnlinked(state.dirty(ino))) {
    disown(state, state.dirty(ino));
    return other;
  }
  if (holds) {
    state.moveEntries(ino, other);
    state.drop(state.dirty(ino));
    return other;
  }
  if (isDirectory) state.moveEntries(other, ino);
  if (changed !== undefined && isDirectory) state.drop(changed);
  else if (changed !== undefined) disown(state, changed);
  return ino;
}

/** As far as inode rows tell where unchanged directories are. */
function isWithin(state: OverlayState, ino: Ino, directory: Ino): boolean {
  const seen = new Set<Ino>();
  for (let at: Ino | undefined = ino; at !== undefined && !seen.has(at); at = parentOf(state, at)) {
    if (at === directory) return true;
    seen.add(at);
  }
  return false;
}

function parentOf(state: OverlayState, ino: Ino): Ino | undefined {
  const object = state.object(ino);
  if (object !== undefined) return object.links.first?.parent;
  const row = state.inodes.row(ino);
  return row && (state.dirtyWithId(row.parent)?.ino ?? state.inodes.find(row.parent)?.ino);
}

/**
 * The bucket no longer has the object; open handles still read it from here. A directory that has a row stays, for what
 * others put into it.
 */
function settleDeleted(state: OverlayState, { ino, id }: ChangedObject, row: PublishedRow | undefined): void {
  const object = state.dirty(ino);
  if (!isUnlinked(object)) throw corruptState(`Inode ${ino} of the overlay still has a name after its deletion.`);
  if (row === undefined || row.id !== id) disown(state, object);
  else state.drop(object);
}

/** The object is not in the bucket. */
export function disown(state: OverlayState, object: DirtyObject): void {
  state.unidentify(object);
  state.inodes.remove(object.ino);
  if (object.forgotten) {
    state.discarded.push({ ino: object.ino, upTo: state.epoch });
    state.drop(object);
    return;
  }
  object.id = undefined;
  state.setBase(object, undefined);
  object.baseNames = [];
  state.noteUnlinked(object);
  state.unsaved.add(object.ino);
}

function dropPublished(
  state: OverlayState,
  flight: InFlight,
  rows: ReadonlyMap<Ino, PublishedRow>,
  changed: ChangedObject,
  object: DirtyObject,
  id: FileId,
): void {
  state.drop(object);
  state.discarded.push({ ino: changed.ino, upTo: flight.changes.epoch });
  putRow(state, flight, rows, changed, id);
}

function keepPublished(
  state: OverlayState,
  flight: InFlight,
  rows: ReadonlyMap<Ino, PublishedRow>,
  changed: ChangedObject,
  object: DirtyObject,
  { id, kept }: PublishedRow,
): void {
  if (kept === undefined) throw corruptState(`The published row of inode ${changed.ino} is missing.`);
  const { epoch } = flight.changes;
  state.unidentify(object);
  object.id = id;
  const base = withValuesOf(kept.record, object);
  state.setBase(object, base);
  object.conflict = kept.record.conflict;
  object.baseNames = kept.names;
  object.content = base.content;
  object.contentSize = kept.record.size;
  object.extents?.rebase(epoch);
  if (object.extents?.isBase(object.contentSize) === true) object.extents = undefined;
  state.identify(object);
  state.unsaved.add(object.ino);
  state.discarded.push({ ino: changed.ino, upTo: epoch });
  putRow(state, flight, rows, changed, id);
}

function putRow(
  state: OverlayState,
  flight: InFlight,
  rows: ReadonlyMap<Ino, PublishedRow>,
  changed: ChangedObject,
  id: FileId,
): void {
  const { ino, record, names } = changed;
  if (ino === ROOT_INO || record === undefined) return;
  const [first] = names;
  if (first === undefined) throw corruptState(`The published inode ${ino} has no name.`);
  // A place is only a hint: if the object is not there, it is looked up.
  const parent = idOf(flight, rows, first.parent) ?? ROOT_ID;
  state.inodes.put({ ino, id, type: record.type, parent, name: first.name });
}

function idOf(flight: InFlight, rows: ReadonlyMap<Ino, PublishedRow>, ino: Ino): FileId | undefined {
  return ino === ROOT_INO ? ROOT_ID : (rows.get(ino)?.id ?? flight.changes.directories.get(ino));
}
