/**
 * Seals an epoch: the live epoch's changes become a change set, and new changes go to the next epoch. An epoch in flight is
 * merged into it, since no other agent has seen it.
 */
import type { ChangedObject, ChangeSet, ContentChange, SentCommit } from "../fstree/change-set.ts";
import { type FileId, type Ino, type Lamport, ROOT_ID, ROOT_INO } from "../base/ids.ts";
import { SENT_COMMITS } from "../base/limits.ts";
import { corruptState } from "./data/bytes.ts";
import { type DirtyObject, isUnlinked, recordOf } from "./dirty-object.ts";
import { leaveBases } from "./older-bases.ts";
import { disown } from "./settle.ts";
import type { InFlight, OverlayState } from "./state.ts";

/**
 * Costs no IO, and time in proportion to the number of dirty objects. `only`: of these alone; the others count as changed in
 * the next epoch.
 */
export function sealChanges(state: OverlayState, epoch: number, only?: readonly Ino[]): void {
  if (state.inFlight !== undefined) recall(state, state.inFlight);
  const chosen = only && new Set(only);
  const later: DirtyObject[] = [];
  const objects: ChangedObject[] = [];
  const directories = new Map<Ino, FileId>([[ROOT_INO, ROOT_ID]]);
  for (const object of state.objects()) {
    const changed = asSealed(object);
    if (changed === undefined) continue;
    if (chosen?.has(object.ino) === false) {
      later.push(object);
      continue;
    }
    objects.push(changed);
    for (const { parent } of object.links) noteDirectory(state, directories, parent);
  }
  state.inFlight = inFlight({
    epoch,
    reference: state.base.commit,
    lamport: (state.base.seq + 1) as Lamport,
    objects,
    directories,
  });
  state.epoch = epoch + 1;
  state.changed = false;
  state.live = 0;
  for (const object of later) state.touch(object);
  if (later.length > 0) leaveBases(state);
}

/** A swap of the epoch in flight may take place from now on. */
export function noteSent(state: OverlayState, epoch: number, commit: SentCommit): void {
  const { inFlight: flight } = state;
  if (flight?.changes.epoch !== epoch) throw corruptState(`Epoch ${epoch} was sent but was not in flight.`);
  const sent = [...(flight.changes.sent ?? []), commit].slice(-SENT_COMMITS);
  state.inFlight = { ...flight, changes: { ...flight.changes, sent } };
}

/** Takes back the epoch in flight: objects that it created and that are removed since are dropped. */
function recall(state: OverlayState, flight: InFlight): void {
  state.inFlight = undefined;
  state.forgetPublished();
  const gone = new Map<Ino, Ino | undefined>();
  for (const { ino } of flight.changes.objects) {
    const object = state.dirty(ino);
    if (!isUnlinked(object) || state.isShared(object)) continue;
    gone.set(ino, object.replaces);
    disown(state, object);
  }
  for (const object of state.objects()) {
    while (object.replaces !== undefined && gone.has(object.replaces)) {
      object.replaces = gone.get(object.replaces);
      state.unsaved.add(object.ino);
    }
  }
}

export function inFlight(changes: ChangeSet): InFlight {
  return { changes, objects: new Map(changes.objects.map((object) => [object.ino, object])) };
}

/**
 * The object as an epoch that is sealed now has it, and as one has it that was sealed after the object's last change.
 * Undefined: the epoch has nothing of it.
 */
export function asSealed(object: DirtyObject): ChangedObject | undefined {
  const { ino, id, links, base, baseNames, replaces } = object;
  if (isUnlinked(object) && id === undefined) return undefined;
  const deleted = isUnlinked(object);
  return {
    ino,
    id,
    baseNames,
    base,
    names: [...links],
    record: deleted ? undefined : recordOf(object),
    content: deleted ? SAME : contentChange(object),
    ...(id === undefined && replaces !== undefined ? { replaces } : {}),
  };
}

const SAME: ContentChange = { kind: "same" };

function contentChange({ extents, content, contentSize }: DirtyObject): ContentChange {
  if (extents === undefined) return SAME;
  return { kind: "edited", base: content, baseSize: contentSize, segments: extents.segments() };
}

/** A directory that names refer to but that is unchanged itself: the builder locates it by its id. */
function noteDirectory(state: OverlayState, directories: Map<Ino, FileId>, ino: Ino): void {
  if (directories.has(ino) || state.object(ino) !== undefined) return;
  directories.set(ino, state.inodes.row(ino)?.id ?? NOWHERE);
}

/** No directory has this id. Objects in an unknown directory are published elsewhere, without an error. */
const NOWHERE = "f".repeat(32) as FileId;
