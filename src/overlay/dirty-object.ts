/** A changed object in memory: what it is now, what the base had, and when it changed. */
import { type Cid, type FileId, type FileName, type Ino, ROOT_INO } from "../base/ids.ts";
import { NO_XATTRS } from "../format/files/record.ts";
import { NOTHING_UNKNOWN } from "../format/files/record.ts";
import type { ConflictOrigin, Content, FileRecord, FileType, Linked, Xattrs } from "../format/files/record.ts";
import type { Extents } from "./data/extents.ts";
import { Links } from "./links.ts";

export interface BaseName {
  readonly parent: FileId;
  readonly name: FileName;
}

export interface DirtyObject {
  readonly ino: Ino;
  /** Undefined until it was published for the first time. */
  id: FileId | undefined;
  readonly type: FileType;
  /** 12 bits, without the type. */
  mode: number;
  uid: number;
  gid: number;
  readonly rdev: number;
  size: number;
  mtimeNs: bigint;
  ctimeNs: bigint;
  readonly birthNs: bigint | undefined;
  /** In memory only. */
  atimeNs: bigint;
  xattrs: Xattrs | Linked;
  readonly target: string | Linked;
  conflict: ConflictOrigin | undefined;
  readonly unknown: ReadonlyMap<number, Uint8Array>;
  /** The base's content, and how many of its bytes the file uses. */
  content: Content;
  contentSize: number;
  /** Where its bytes lie; undefined while they are all in `content`. */
  extents: Extents | undefined;
  links: Links;
  /** For an object new in its epoch: the object it was renamed over, whose id it takes (docs/design/merge.md, Identity). */
  replaces: Ino | undefined;
  /** The base's record and names, kept so that the change can be merged even if the base moves on. */
  base: FileRecord | undefined;
  baseNames: readonly BaseName[];
  /** The last epoch that changed it. */
  epoch: number;
  /** Created without a name; it may still get one. */
  unnamed: boolean;
  /** Without a name and no longer open. */
  forgotten: boolean;
  /** In memory only: a version that increases with each change of the bytes, and the content's CID if computed since. */
  bytesVersion: number;
  bytesName: Cid | undefined;
}

/** A newly created object. */
export interface NewObject {
  readonly ino: Ino;
  readonly type: FileType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly target: string;
  readonly timeNs: bigint;
}

/** The base's data of an object that becomes dirty. */
export interface KeptObject {
  readonly ino: Ino;
  readonly id: FileId;
  readonly record: FileRecord;
  readonly baseNames: readonly BaseName[];
  /** The inode numbers of the names' directories, in the same order. */
  readonly parents: readonly Ino[];
}

const NO_NAMES: readonly BaseName[] = [];
const EMPTY: Content = { kind: "empty" };

export function bornObject(made: NewObject, epoch: number): DirtyObject {
  const { ino, type, mode, uid, gid, rdev, target, timeNs } = made;
  return {
    ino,
    id: undefined,
    type,
    mode,
    uid,
    gid,
    rdev,
    size: target.length,
    mtimeNs: timeNs,
    ctimeNs: timeNs,
    birthNs: timeNs,
    atimeNs: timeNs,
    xattrs: NO_XATTRS,
    target,
    conflict: undefined,
    unknown: NOTHING_UNKNOWN,
    content: EMPTY,
    contentSize: 0,
    extents: undefined,
    links: new Links(),
    replaces: undefined,
    base: undefined,
    baseNames: NO_NAMES,
    epoch,
    unnamed: false,
    forgotten: false,
    bytesVersion: 0,
    bytesName: undefined,
  };
}

/** The names of an object that becomes dirty. */
export function linksOf({ baseNames, parents }: Pick<KeptObject, "baseNames" | "parents">): Links {
  return new Links(baseNames.map(({ name }, index) => ({ parent: parents[index] ?? ROOT_INO, name })));
}

export function keptObject(
  { ino, id, record, baseNames, parents }: Omit<KeptObject, "id"> & Pick<DirtyObject, "id">,
  epoch: number,
): DirtyObject {
  const { type, mode, uid, gid, rdev, size, mtimeNs, ctimeNs, birthNs, xattrs, target, conflict, unknown, content } =
    record;
  return {
    ino,
    id,
    type,
    mode,
    uid,
    gid,
    rdev,
    size,
    mtimeNs,
    ctimeNs,
    birthNs,
    atimeNs: mtimeNs,
    xattrs,
    target,
    conflict,
    unknown,
    content,
    contentSize: size,
    extents: undefined,
    links: linksOf({ baseNames, parents }),
    replaces: undefined,
    base: record,
    baseNames,
    epoch,
    unnamed: false,
    forgotten: false,
    bytesVersion: 0,
    bytesName: undefined,
  };
}

/** A version of a file that others replaced or removed while programs read it. It never changes. */
export function earlierVersion(ino: Ino, record: FileRecord): DirtyObject {
  return { ...keptObject({ ino, id: undefined, record, baseNames: NO_NAMES, parents: [] }, 0), base: undefined };
}

export function isEarlierVersion({ epoch }: DirtyObject): boolean {
  return epoch === 0;
}

/** Whether the object has no name left; the root directory never has one. */
export function isUnlinked({ ino, links }: DirtyObject): boolean {
  return links.size === 0 && ino !== ROOT_INO;
}

/** The object's record as it is now. Its content counts only while there are no extents. */
export function recordOf(object: DirtyObject): FileRecord {
  const { type, mode, uid, gid, size, mtimeNs, ctimeNs, birthNs, rdev, xattrs, content, target, conflict, unknown } =
    object;
  return { type, mode, uid, gid, size, mtimeNs, ctimeNs, birthNs, rdev, xattrs, content, target, conflict, unknown };
}
