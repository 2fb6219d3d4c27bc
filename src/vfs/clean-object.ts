/** An object without local changes, as the base or a held version has it. */
import type { FileId, Ino } from "../base/ids.ts";
import type { FileRecord } from "../format/files/record.ts";
import type { BaseName } from "../overlay/dirty-object.ts";
import { ownRecord } from "./own-record.ts";

export interface CleanObject {
  readonly ino: Ino;
  readonly id: FileId;
  readonly record: FileRecord;
  /** How many names a file has; 1 for a directory. */
  readonly names: number;
  readonly subdirs: number;
  /** The place of a directory or a one-name file; one name of a file with several. Undefined for the root. */
  readonly place: BaseName | undefined;
  atimeNs: bigint;
}

export function cleanFile(
  ino: Ino,
  id: FileId,
  record: FileRecord,
  place: BaseName | undefined,
  names = 1,
): CleanObject {
  return { ino, id, record: ownRecord(record), names, subdirs: 0, place, atimeNs: record.mtimeNs };
}
