/**
 * Applies journal records to the overlay's state. The state changes in no other way, live or in replay, so a restart
 * arrives at the same state. It reads only the state, and never fails on records that were valid when made.
 */
import { addAll } from "../base/collections.ts";
import type { FileName, Ino } from "../base/ids.ts";
import { corruptState } from "./data/bytes.ts";
import { bornObject, type DirtyObject, earlierVersion, isUnlinked, keptObject } from "./dirty-object.ts";
import { Extents } from "./data/extents.ts";
import type { JournalRecord, Renaming } from "./journal/journal-record.ts";
import { passBase } from "./older-bases.ts";
import { noteSent, sealChanges } from "./seal.ts";
import { settlePublished } from "./settle.ts";
import type { OverlayState } from "./state.ts";

/** Throws `state_corrupt` for a record that does not fit the state. */
export function applyRecord(state: OverlayState, record: JournalRecord): void {
  switch (record.kind) {
    case "inode":
      return state.inodes.put(record.row);
    case "keep": {
      const object = keptObject(record.object, state.epoch);
      state.add(object);
      return state.touch(object);
    }
    case "create":
      return create(state, record);
    case "link":
      return link(state, record);
    case "unlink":
      return unlink(state, record);
    case "rename":
      return rename(state, record);
    case "replaced":
      return replaced(state, record);
    case "inUse":
      state.inUse = record.inUse;
      return;
    case "forget":
      return forget(state, record.ino);
    case "seal":
      return sealChanges(state, record.epoch);
    case "removals":
      return sealChanges(state, record.epoch, record.inos);
    case "sent":
      return noteSent(state, record.epoch, record.sent);
    case "rows":
      if (record.first) state.forgetPublished();
      for (const row of record.rows) state.publishedRows.set(row.ino, row);
      return;
    case "follow":
      addAll(state.followed, record.objects);
      return;
    case "published":
      return settlePublished(state, record);
    case "untouched":
      state.isUntouched = true;
      return;
    case "adopt":
      passBase(state, state.base, 0);
      state.base = record.base;
      return;
    case "answered":
    case "connected":
      return;
    default:
      return change(state, record);
  }
}

/** Changes of one object's own fields. */
function change(
  state: OverlayState,
  record: Extract<JournalRecord, { kind: "attributes" | "data" | "written" | "hole" | "resize" | "xattrs" }>,
): void {
  const object = state.dirty(record.ino);
  state.touch(object);
  if (record.kind === "attributes") {
    object.mode = record.mode;
    object.uid = record.uid;
    object.gid = record.gid;
    object.mtimeNs = record.mtimeNs;
    object.ctimeNs = record.ctimeNs;
    return;
  }
  object.ctimeNs = record.timeNs;
  if (record.kind === "xattrs") {
    state.setXattrs(object, record.xattrs);
    return;
  }
  object.mtimeNs = record.timeNs;
  object.bytesVersion = ++state.bytesVersions;
  object.bytesName = undefined;
  object.extents ??= Extents.ofBase(object.contentSize);
  if (record.kind === "resize") object.extents.resize(record.size, state.epoch);
  else if (record.kind === "data") object.extents.setData(record.offset, record.length, state.epoch);
  else if (record.kind === "written") object.extents.setData(record.offset, record.bytes.length, state.epoch);
  else object.extents.setHole(record.offset, record.length, state.epoch);
  object.size = object.extents.size;
}

function create(state: OverlayState, record: Extract<JournalRecord, { kind: "create" }>): void {
  const object = bornObject(record.object, state.epoch);
  object.unnamed = record.name === "";
  state.add(object);
  state.touch(object);
  if (record.name === "") return;
  state.addLink(object, record.parent, record.name);
  changeDirectory(state, record.parent, record.object.timeNs);
}

function link(state: OverlayState, { ino, parent, name, timeNs }: Extract<JournalRecord, { kind: "link" }>): void {
  const object = state.dirty(ino);
  state.addLink(object, parent, name);
  object.unnamed = false;
  object.ctimeNs = timeNs;
  state.touch(object);
  changeDirectory(state, parent, timeNs);
}

function unlink(state: OverlayState, { ino, parent, name, timeNs }: Extract<JournalRecord, { kind: "unlink" }>): void {
  const object = state.dirty(ino);
  loseLink(state, object, parent, name, timeNs);
  changeDirectory(state, parent, timeNs);
}

function rename(state: OverlayState, record: Renaming): void {
  const { ino, parent, name, newParent, newName, other, exchange, timeNs } = record;
  const object = state.dirty(ino);
  const replaced = other === 0 ? undefined : state.dirty(other);
  if (replaced !== undefined && !exchange) {
    object.replaces ??= replacedBy(state, object, replaced);
    loseLink(state, replaced, newParent, newName, timeNs);
  }
  if (replaced !== undefined && exchange) state.removeLink(replaced, newParent, newName);
  state.removeLink(object, parent, name);
  state.addLink(object, newParent, newName);
  if (replaced !== undefined && exchange) state.addLink(replaced, parent, name);
  for (const changed of exchange && replaced !== undefined ? [object, replaced] : [object]) {
    changed.ctimeNs = timeNs;
    state.touch(changed);
  }
  changeDirectory(state, parent, timeNs);
  changeDirectory(state, newParent, timeNs);
}

/**
 * The object whose id a new file takes: the one that it was renamed over. It keeps that id wherever it moves next, as if a
 * flush had come in between. Only a new object takes an id, and only if both have one name.
 */
function replacedBy(state: OverlayState, object: DirtyObject, replaced: DirtyObject): Ino | undefined {
  if (object.type === "directory" || object.type !== replaced.type || state.isShared(object)) return undefined;
  if (object.links.size > 1 || replaced.links.size > 1) return undefined;
  return state.isShared(replaced) ? replaced.ino : replaced.replaces;
}

function loseLink(state: OverlayState, object: DirtyObject, parent: Ino, name: FileName, timeNs: bigint): void {
  state.removeLink(object, parent, name);
  object.ctimeNs = timeNs;
  state.touch(object);
  state.noteUnlinked(object);
}

function changeDirectory(state: OverlayState, ino: Ino, timeNs: bigint): void {
  const directory = state.dirty(ino);
  directory.mtimeNs = timeNs;
  directory.ctimeNs = timeNs;
  state.touch(directory);
}

function replaced(state: OverlayState, { ino, record, next }: Extract<JournalRecord, { kind: "replaced" }>): void {
  state.inodes.remove(ino);
  if (next !== undefined) state.inodes.put(next);
  state.add(earlierVersion(ino, record));
  state.unsaved.add(ino);
}

function forget(state: OverlayState, ino: Ino): void {
  const object = state.dirty(ino);
  if (!isUnlinked(object)) throw corruptState(`Inode ${ino} of the overlay was forgotten while it still had a name.`);
  object.forgotten = true;
  object.extents = undefined;
  object.content = { kind: "empty" };
  state.unsaved.add(ino);
  // The epoch in flight still needs its data.
  const upTo = state.inFlight?.objects.has(ino) === true ? undefined : state.epoch;
  if (upTo !== undefined) state.discarded.push({ ino, upTo });
  if (!state.isShared(object)) state.drop(object);
}
