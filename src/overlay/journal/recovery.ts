/** Recovers the overlay's state at a start: the checkpoint in the tables, then the journal's frames on top. */
import { SynclineError } from "../../base/errors.ts";
import { ByteReader, corruptState } from "../data/bytes.ts";
import { applyRecord } from "../apply.ts";
import { decodeHead, decodeObject, decodeSealed } from "./checkpoint.ts";
import type { DirtyObject } from "../dirty-object.ts";
import type { ChangedObject } from "../../fstree/change-set.ts";
import type { Ino } from "../../base/ids.ts";
import type { Inodes } from "../inodes.ts";
import { withValuesOf } from "../long-values.ts";
import { readJournalRecord } from "./journal-codec.ts";
import type { BaseRoot, JournalRecord } from "./journal-record.ts";
import { asSealed, inFlight } from "../seal.ts";
import { OverlayState } from "../state.ts";
import type { StateTables } from "../disk/storage.ts";

/** The state as of the last checkpoint, and the journal frame that it includes. Throws `state_corrupt`. */
export function loadState(
  tables: StateTables,
  inodes: Inodes,
  base: BaseRoot,
): { readonly state: OverlayState; readonly frame: number } {
  return orCorrupt("Cannot read the overlay's checkpoint.", () => {
    const stored = tables.head();
    if (stored === undefined) return { state: new OverlayState(inodes, base), frame: 0 };
    const head = decodeHead(stored);
    const state = new OverlayState(inodes, head.base);
    state.epoch = head.epoch;
    state.inUse = head.inUse;
    state.olderBases = head.olderBases;
    inodes.useBelow(head.nextIno);
    const objects = Array.from(tables.objects(), decodeObject);
    if (head.flight !== undefined)
      state.inFlight = inFlight({
        ...head.flight,
        objects: sealedObjects(tables, objects, head.flight.epoch, state.unsaved),
      });
    for (const object of objects) {
      state.add(object);
      state.stored.add(object.ino);
      if (object.epoch === state.epoch) state.changed = true;
    }
    return { state, frame: head.frame };
  });
}

/** Applies the records of one frame; `take` gets each just before. Throws `state_corrupt`. */
export function replayFrame(state: OverlayState, payload: Uint8Array, take: (record: JournalRecord) => void): void {
  orCorrupt("A record in the overlay's journal contradicts the records before it.", () => {
    const reader = new ByteReader(payload);
    while (!reader.atEnd) {
      const record = readJournalRecord(reader);
      take(record);
      applyRecord(state, record);
    }
  });
}

/** The objects of the epoch in flight: those that changed since have rows, the others are as they were sealed. */
function sealedObjects(
  tables: StateTables,
  objects: readonly DirtyObject[],
  epoch: number,
  unsaved: Set<Ino>,
): ChangedObject[] {
  const rows = new Map(Array.from(tables.sealed(), decodeSealed).map((changed) => [changed.ino, changed]));
  const sealed: ChangedObject[] = [];
  for (const object of objects) {
    const row = rows.get(object.ino);
    rows.delete(object.ino);
    // The row is right: earlier versions of Syncline did not always save this with the object.
    if (row !== undefined && row.id === undefined && object.epoch <= epoch && object.replaces !== row.replaces) {
      object.replaces = row.replaces;
      unsaved.add(object.ino);
    }
    const changed = row === undefined ? unchangedSince(object, epoch) : sharingValues(row, object);
    if (changed !== undefined) sealed.push(changed);
  }
  for (const ino of rows.keys()) throw corruptState(`Inode ${ino} of epoch ${epoch} is not among the changed objects.`);
  return sealed;
}

function unchangedSince(object: DirtyObject, epoch: number): ChangedObject | undefined {
  return object.epoch <= epoch ? asSealed(object) : undefined;
}

/** Shares equal values of an object, as they were shared before the restart. */
function sharingValues(changed: ChangedObject, object: DirtyObject): ChangedObject {
  const { record, base } = changed;
  const kept = object.base ?? object;
  return {
    ...changed,
    record: record && withValuesOf(withValuesOf(record, kept), object),
    base: base && withValuesOf(base, kept),
  };
}

function orCorrupt<Result>(message: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof SynclineError) throw error;
    throw corruptState(message, error);
  }
}
