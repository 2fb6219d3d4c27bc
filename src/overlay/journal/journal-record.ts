/**
 * What the journal's records say. A record holds all that is needed to apply it to the overlay's state: a restart needs
 * neither the bucket nor the network.
 */
import type { FileId, FileName, Ino } from "../../base/ids.ts";
import type { ConflictOrigin, FileRecord, Linked, Xattrs } from "../../format/files/record.ts";
import type { NewBase } from "../../fstree/change-set.ts";
import type { SentCommit } from "../../fstree/change-set.ts";
import type { BaseName, KeptObject, NewObject } from "../dirty-object.ts";
import type { InodeRow } from "../disk/storage.ts";
import type { InUse } from "../in-use.ts";
import type { Link } from "../links.ts";

export type BaseRoot = Omit<NewBase, "changes">;

/** The current name of a published object, and its row in our own tree if it is dirty again. */
export interface PublishedRow {
  readonly ino: Ino;
  readonly id: FileId;
  readonly kept: { readonly record: FileRecord; readonly names: readonly BaseName[] } | undefined;
  /** The number that stood for the object that this one became. */
  readonly joined: Joined | undefined;
}

export interface Joined {
  readonly other: Ino;
  /** Whether the other one, a directory, holds this one. */
  readonly holds: boolean;
}

/** What continues in the copy of what lost the conflict (follow.ts). */
export interface FollowedObject {
  readonly ino: Ino;
  /** What the number stands for from now on. Undefined: as before, or as a published row says. */
  readonly row: InodeRow | undefined;
  /** The new base of a changed object. Undefined: as before, or as a published row says. */
  readonly base: { readonly names: readonly BaseName[]; readonly conflict: ConflictOrigin | undefined } | undefined;
  /** The names of a changed object. Undefined: as before. */
  readonly links: readonly Link[] | undefined;
  /** The base's version of it, which counts as changed from now on. */
  readonly kept?: KeptObject;
  /** Whether it loses its names. */
  readonly hidden?: boolean;
}

export type JournalRecord =
  | { readonly kind: "inode"; readonly row: InodeRow }
  /** A clean object becomes dirty. */
  | { readonly kind: "keep"; readonly object: KeptObject }
  /** `name` is "" for a file without a name. */
  | { readonly kind: "create"; readonly object: NewObject; readonly parent: Ino; readonly name: FileName | "" }
  | { readonly kind: "link"; readonly ino: Ino; readonly parent: Ino; readonly name: FileName; readonly timeNs: bigint }
  | {
      readonly kind: "unlink";
      readonly ino: Ino;
      readonly parent: Ino;
      readonly name: FileName;
      readonly timeNs: bigint;
    }
  | Renaming
  | {
      readonly kind: "attributes";
      readonly ino: Ino;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
      readonly mtimeNs: bigint;
      readonly ctimeNs: bigint;
    }
  /** Bytes were written to the live epoch's data file. */
  | {
      readonly kind: "data";
      readonly ino: Ino;
      readonly offset: number;
      readonly length: number;
      readonly timeNs: bigint;
    }
  /** As "data", but the journal carries the bytes: making them durable needs only a sync of the journal. */
  | {
      readonly kind: "written";
      readonly ino: Ino;
      readonly offset: number;
      readonly bytes: Uint8Array;
      readonly timeNs: bigint;
    }
  /** Bytes became zeros; the file grows if they reach past its end. */
  | {
      readonly kind: "hole";
      readonly ino: Ino;
      readonly offset: number;
      readonly length: number;
      readonly timeNs: bigint;
    }
  | { readonly kind: "resize"; readonly ino: Ino; readonly size: number; readonly timeNs: bigint }
  | { readonly kind: "xattrs"; readonly ino: Ino; readonly xattrs: Xattrs | Linked; readonly timeNs: bigint }
  /**
   * Others replaced or removed a clean file that programs have open. The number stands for the version that they opened,
   * which has no name, and `next` for the file. `next` is undefined if they removed it.
   */
  | { readonly kind: "replaced"; readonly ino: Ino; readonly record: FileRecord; readonly next: InodeRow | undefined }
  /** What programs have in use from now on, besides what the base and the other records say. */
  | { readonly kind: "inUse"; readonly inUse: InUse }
  /** This unlinked object is no longer open. */
  | { readonly kind: "forget"; readonly ino: Ino }
  | { readonly kind: "seal"; readonly epoch: number }
  /** Seals the removals of these objects alone. */
  | { readonly kind: "removals"; readonly epoch: number; readonly inos: readonly Ino[] }
  /** A swap may put this commit of the epoch in flight into the bucket. */
  | { readonly kind: "sent"; readonly epoch: number; readonly sent: SentCommit }
  /** Some rows of a published epoch; `first` starts a new list. They take effect with "published". */
  | { readonly kind: "rows"; readonly first: boolean; readonly rows: readonly PublishedRow[] }
  /** Comes after all "rows"; also takes effect with "published". */
  | { readonly kind: "follow"; readonly objects: readonly FollowedObject[] }
  | { readonly kind: "published"; readonly epoch: number; readonly base: BaseRoot }
  | { readonly kind: "adopt"; readonly base: BaseRoot }
  /** Nothing that waits needs the present base once the next record has put another in its place. */
  | { readonly kind: "untouched" }
  /** The record after this one executed the kernel's request of this number. `ino`: what it made or linked, or 0. */
  | { readonly kind: "answered"; readonly request: number; readonly ino: Ino | 0 }
  /** A new connection to the kernel, which counts its requests anew. */
  | { readonly kind: "connected" };

export interface Renaming {
  readonly kind: "rename";
  readonly ino: Ino;
  readonly parent: Ino;
  readonly name: FileName;
  readonly newParent: Ino;
  readonly newName: FileName;
  /** What the new name led to: it loses that name, or gets the old one if `exchange`. 0: nothing. */
  readonly other: Ino | 0;
  readonly exchange: boolean;
  readonly timeNs: bigint;
}
