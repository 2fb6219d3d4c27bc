/** Recovers the overlay's state at a start: the checkpoint in the tables, then the journal's frames on top. */
import { SynclineError } from "../../base/errors.ts";
import { ByteReader, corruptState } from "../data/bytes.ts";
import { applyRecord } from "../apply.ts";
import { decodeHead, decodeObject, decodeSealed } from "./checkpoint.ts";
import type { Inodes } from "../inodes.ts";
import { readJournalRecord } from "./journal-codec.ts";
import type { BaseRoot, JournalRecord } from "./journal-record.ts";
import { inFlight } from "../seal.ts";
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
    inodes.useBelow(head.nextIno);
    if (head.flight !== undefined)
      state.inFlight = inFlight({ ...head.flight, objects: Array.from(tables.sealed(), decodeSealed) });
    for (const object of Array.from(tables.objects(), decodeObject)) {
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

function orCorrupt<Result>(message: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof SynclineError) throw error;
    throw corruptState(message, error);
  }
}
