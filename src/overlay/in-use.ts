/**
 * What programs go on seeing of files that they have open to write, although others have changed them. It lasts as long as the
 * mount: an agent that replaces a killed one goes on with it.
 */
import type { Cid, FileId, FileName, Ino } from "../base/ids.ts";
import type { FileRecord } from "../format/files/record.ts";
import type { BaseName } from "./dirty-object.ts";
import type { Link } from "./links.ts";

export interface InUse {
  /** The commit that the overlay stood on. On another one, none of this is valid. */
  readonly base: Cid | undefined;
  /** Whether programs hold more than is listed. */
  readonly isPartial: boolean;
  /** Files that are held alone. */
  readonly files: readonly HeldFile[];
  readonly families: readonly HeldFamily[];
  readonly lost: readonly LostFamily[];
}

export interface HeldFile {
  readonly ino: Ino;
  readonly id: FileId;
  readonly record: FileRecord;
  readonly names: readonly BaseName[];
}

/** A database that is held (src/vfs/held-units.ts). */
export interface HeldFamily {
  readonly parent: Ino;
  readonly parentId: FileId;
  readonly main: FileName;
  /** Each has one name. */
  readonly files: readonly HeldFile[];
  /** Names that lead to nothing. */
  readonly free: readonly FileName[];
  readonly added: readonly AddedFile[];
}

/** A file that others created at a name that leads to nothing here. */
export interface AddedFile {
  readonly name: FileName;
  readonly id: FileId;
  readonly record: FileRecord;
  /** Undefined: it has no number yet. */
  readonly ino: Ino | undefined;
}

/** A database that lost a conflict (src/vfs/lost-families.ts). */
export interface LostFamily {
  /** Where the copy's main file is. */
  readonly main: Link;
  /** The names that were lost, and where they lead. */
  readonly names: readonly { readonly from: Link; readonly to: Link }[];
}

export const NOTHING_IN_USE: InUse = { base: undefined, isPartial: false, files: [], families: [], lost: [] };

/** Whether there is none of these. */
export function isNothing({ isPartial, files, families, lost }: InUse): boolean {
  return !isPartial && files.length + families.length + lost.length === 0;
}
