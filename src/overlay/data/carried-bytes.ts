/**
 * Bytes of small writes that the journal carries (`written` records), gathered in replay and put back into their data
 * files, which power loss may have left without them. Doing it again changes nothing.
 *
 * A later write of the same range counts instead, also one whose bytes are in the data file only. What the state does not
 * refer to any more is left out: cut, punched, published or removed.
 */
import type { Ino } from "../../base/ids.ts";
import { dataFileName } from "./data-files.ts";
import type { DataFiles } from "./data-files.ts";
import { Extents } from "./extents.ts";
import type { JournalRecord } from "../journal/journal-record.ts";
import type { OverlayState } from "../state.ts";

interface Carried {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

interface CarriedFile {
  readonly ino: Ino;
  readonly epoch: number;
  /** Which of #carried holds each run: its place in there, from 1 on, stands where extents have an epoch. */
  readonly runs: Extents;
}

export class CarriedBytes {
  readonly #carried: Carried[] = [];
  readonly #files = new Map<string, CarriedFile>();

  /** A record of the journal, in order; `epoch` is the live one then. */
  take(record: JournalRecord, epoch: number): void {
    if (record.kind !== "written" && record.kind !== "data") return;
    const { ino, offset } = record;
    const name = dataFileName(ino, epoch);
    let file = this.#files.get(name);
    if (record.kind === "data") {
      file?.runs.setHole(offset, record.length, 0);
      return;
    }
    if (file === undefined) this.#files.set(name, (file = { ino, epoch, runs: Extents.ofBase(0) }));
    this.#carried.push({ offset, bytes: record.bytes });
    file.runs.setData(offset, record.bytes.length, this.#carried.length);
  }

  /** Puts the bytes where `state`, the end of replay, refers to them. Throws `disk_full`, `store_failed`. */
  restore(state: OverlayState, data: DataFiles): void {
    const files = [...this.#files.values()].sort((a, b) => a.epoch - b.epoch);
    for (const { ino, epoch, runs } of files) {
      for (const extents of contentsOf(state, ino)) {
        for (const { from, offset, length, epoch: place } of runs.segments()) {
          const carried = from === "data" ? this.#carried[place - 1] : undefined;
          if (carried === undefined) continue;
          for (const segment of extents.range(offset, length)) {
            if (segment.from !== "data" || segment.epoch !== epoch) continue;
            const start = segment.offset - carried.offset;
            data.restore(ino, epoch, segment.offset, carried.bytes.subarray(start, start + segment.length));
          }
        }
      }
    }
  }
}

/** Where the file's bytes lie now, and where those of the epoch in flight do. */
function contentsOf(state: OverlayState, ino: Ino): Extents[] {
  const live = state.object(ino)?.extents;
  const sealed = state.inFlight?.objects.get(ino)?.content;
  return [
    ...(live === undefined ? [] : [live]),
    ...(sealed?.kind === "edited" ? [Extents.ofSegments(sealed.segments)] : []),
  ];
}
