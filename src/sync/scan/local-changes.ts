/** What was changed in the folder since it was synced. */
import type { FileId, Ino } from "../../base/ids.ts";
import type { ChangedObject } from "../../fstree/change-set.ts";
import type { Entry } from "../known/entry.ts";
import type { Seen } from "../known/seen.ts";
import type { LocalObject } from "./match.ts";
import type { Found } from "./walk.ts";

export type Action = "added" | "changed" | "moved" | "deleted";

export interface LocalChange {
  readonly object: LocalObject;
  readonly action: Action;
  readonly changed: ChangedObject;
}

/** How each thing that was found looked: for the database, once it is published. */
export interface Observed {
  readonly object: LocalObject;
  readonly found: Found;
  readonly entry: Entry | undefined;
  readonly seen: Seen;
  /** On disk this name is a separate file that still has an older version of the object, not the published one. */
  readonly isBehind: boolean;
}

/** A name of an object as it is, and as the database has it. */
export type Look = Pick<Observed, "found" | "entry">;

export interface LocalChanges {
  readonly changes: readonly LocalChange[];
  readonly directories: ReadonlyMap<Ino, FileId>;
  /** Whose bytes an epoch reads. */
  readonly sources: ReadonlyMap<Ino, Found>;
  /** Of changed objects, and of those that only look otherwise. */
  readonly observed: readonly Observed[];
  /** Names of files that are gone: what the deletion limit counts. */
  readonly deletedFiles: readonly Entry[];
}

/** What is read for the bucket. */
export interface NewFiles {
  /** Files that are not empty. A file with several names counts once. */
  readonly files: number;
  readonly bytes: number;
}

export function sourcesOf({ sources }: Pick<LocalChanges, "sources">): NewFiles {
  const total = { files: 0, bytes: 0 };
  for (const { stat } of sources.values()) {
    if (stat.size > 0) total.files++;
    total.bytes += stat.size;
  }
  return total;
}
