/**
 * Bytes of small writes that the journal carries (`written` records). Replay collects them and puts them back into their
 * data files, which may have lost them in a power loss. Repeating this changes nothing.
 *
 * A later write of the same range wins, even if only the data file has its bytes. Bytes that the state no longer refers to
 * are left out: cut, punched, published or removed.
 */
import type { Ino } from "../../base/ids.ts";
import { dataFileName } from "./data-file-names.ts";
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
  /** Which of #carried holds each run: its index, from 1, takes the place of the extents' epoch. */
  readonly runs: Extents;
}

export class CarriedBytes {
  readonly #carried: Carried[] = [];
  readonly #files = new Map<string, CarriedFile>();

  /** Takes a record of the journal, in order; `epoch` is the live one at that time. */
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

  /** Writes the bytes to where `state`, the end of replay, refers to them. Throws `disk_full`, `store_failed`. */
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

/** Where the file's current bytes lie, and those of the epoch in flight. */
function contentsOf(state: OverlayState, ino: Ino): Extents[] {
  const live = state.object(ino)?.extents;
  const sealed = state.inFlight?.objects.get(ino)?.content;
  return [
    ...(live === undefined ? [] : [live]),
    ...(sealed?.kind === "edited" ? [Extents.ofSegments(sealed.segments)] : []),
  ];
}
