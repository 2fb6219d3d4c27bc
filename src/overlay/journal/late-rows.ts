/**
 * Inode numbers that the journal had no room for: names are looked up even on a full disk. Their rows are journaled before
 * anything that refers to them. Otherwise a restart would not know what they stood for, and would reassign them.
 */
import type { Ino } from "../../base/ids.ts";
import type { Inodes } from "../inodes.ts";
import type { JournalRecord } from "./journal-record.ts";

export class LateRows {
  readonly #inos = new Set<Ino>();

  /** The journal lacks this number's row. */
  add(ino: Ino): void {
    this.#inos.add(ino);
  }

  /** Records for the rows that these records refer to and the journal lacks. */
  before(records: readonly JournalRecord[], inodes: Inodes): JournalRecord[] {
    if (this.#inos.size === 0) return [];
    const rows = new Map(
      records
        .flatMap(directoriesIn)
        .filter((ino) => this.#inos.has(ino))
        .map((ino) => [ino, inodes.row(ino)]),
    );
    return [...rows.values()].filter((row) => row !== undefined).map((row) => ({ kind: "inode", row }));
  }

  /** The journal has these records. */
  journaled(records: readonly JournalRecord[]): void {
    for (const record of records) if (record.kind === "inode") this.#inos.delete(record.row.ino);
  }
}

/** The directories that a record refers to by number. The object itself is covered by records of its own. */
function directoriesIn(record: JournalRecord): readonly Ino[] {
  switch (record.kind) {
    case "keep":
      return record.object.parents;
    case "create":
    case "link":
    case "unlink":
      return [record.parent];
    case "rename":
      return [record.parent, record.newParent];
    default:
      return [];
  }
}
