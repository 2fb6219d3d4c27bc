/** The folder's changes since the last sync. */
import type { FileId, Ino } from "../../base/ids.ts";
import type { ChangedObject } from "../../fstree/change-set.ts";
import type { Entry } from "../known/entry.ts";
import type { Seen } from "../known/seen.ts";
import type { LocalObject } from "./matching.ts";
import type { Found } from "./walk.ts";

export type Action = "added" | "changed" | "moved" | "deleted";

export interface LocalChange {
  readonly object: LocalObject;
  readonly action: Action;
  readonly changed: ChangedObject;
}

/** How each found object looked: for the database, once published. */
export interface Observed {
  readonly object: LocalObject;
  readonly found: Found;
  readonly entry: Entry | undefined;
  readonly seen: Seen;
  /** On disk, this name is a separate file with an older version of the object than the published one. */
  readonly isBehind: boolean;
}

/** An object's name as found, and as the database has it. */
export type Look = Pick<Observed, "found" | "entry">;

export interface LocalChanges {
  readonly changes: readonly LocalChange[];
  readonly directories: ReadonlyMap<Ino, FileId>;
  /** Files whose bytes an epoch reads. */
  readonly sources: ReadonlyMap<Ino, Found>;
  /** Changed objects, and those that only look different. */
  readonly observed: readonly Observed[];
  /** Names of deleted files, which count toward the deletion limit. */
  readonly deletedFiles: readonly Entry[];
}

/** What is read for the bucket. */
export interface NewFileTotals {
  /** Number of files that are not empty. A file with several names counts once. */
  readonly files: number;
  readonly bytes: number;
}

export function totalsOf({ sources }: Pick<LocalChanges, "sources">): NewFileTotals {
  const total = { files: 0, bytes: 0 };
  for (const { stat } of sources.values()) {
    if (stat.size > 0) total.files++;
    total.bytes += stat.size;
  }
  return total;
}
