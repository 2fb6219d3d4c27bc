/** How much more memory changes take, in objects: what `OverlayState.held` counts. */
import type { JournalRecord } from "./journal/journal-record.ts";
import { KEPT_UNITS, unitsOf } from "./long-values.ts";
import type { OverlayState } from "./state.ts";

/** By how much `held` grows with these records of a call; what they remove counts only once it is gone. */
export function growthOf(state: OverlayState, records: readonly JournalRecord[]): number {
  return records.reduce((sum, record) => sum + growthBy(state, record), 0);
}

function growthBy(state: OverlayState, record: JournalRecord): number {
  switch (record.kind) {
    case "keep":
      return 1 + KEPT_UNITS + unitsOf(record.object.record.xattrs) + unitsOf(record.object.record.target);
    case "replaced":
      return 1 + unitsOf(record.record.xattrs);
    case "create":
      return 1 + unitsOf(record.object.target);
    case "xattrs": {
      const object = state.object(record.ino);
      // Records before this one add the object, with at most the attributes that its base keeps.
      return object === undefined ? unitsOf(record.xattrs) : state.growthBy(object, record.xattrs);
    }
    default:
      return 0;
  }
}
