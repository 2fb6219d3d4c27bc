/**
 * Records an own epoch of which the history no longer has the commit: in the folder, what looks as it was sealed is what the
 * bucket had then. Others may have changed or removed it since, and the oldest root left that includes the epoch shows that.
 */
import { isGone } from "../../blocks/not-found.ts";
import type { Cid, FileId, FileName } from "../../base/ids.ts";
import { failedWith } from "../../base/system-errors.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import { lookup } from "../../fstree/fs-reader.ts";
import { samePlace, type Place } from "../../fstree/object-rows.ts";
import { birthId } from "../../format/files/keys.ts";
import type { FileRecord, FileType } from "../../format/files/record.ts";
import { NO_XATTRS } from "../../format/files/record.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { DiskPath, DiskStat, SyncDisk } from "../disk/disk.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { Entry } from "../known/entry.ts";
import { directoryIn, pathInFolder } from "../known/path-in-folder.ts";
import { isSameInode, looksSame, type Seen, decodeSeen } from "../known/seen.ts";
import { type Attention, recordOfNew, withAttributes } from "../scan/attributes.ts";
import { mergedXattrs } from "../scan/base-values.ts";
import { contentOnDisk, isUnreadable } from "../scan/local-content.ts";
import type { Sealed } from "./sealed.ts";

export interface FolderContext {
  readonly db: SyncDatabase;
  readonly disk: SyncDisk;
  readonly bucket: Bucket;
  readonly attention: Attention;
}

/** Call this after what the tree has as sealed is recorded, in the caller's transaction. */
export async function recordForgotten(
  context: FolderContext,
  nodes: NodeStore,
  tree: Cid,
  sealed: Sealed,
): Promise<void> {
  const { db, disk } = context;
  const looks = sealed.there.map(({ path, type, seen }) => ({
    path: path.map((name) => Buffer.from(name, "base64").toString("latin1") as FileName),
    type: type as FileType,
    looked: decodeSeen(Buffer.from(seen, "base64")),
  }));
  // Directories come before what is in them.
  for (const { path, type, looked } of looks.toSorted((a, b) => a.path.length - b.path.length)) {
    const [name] = path.slice(-1);
    const parent = directoryIn(db, path.slice(0, -1));
    if (name === undefined || parent === undefined) continue;
    const place = { parent, name };
    const known = db.at(place);
    // It is recorded already.
    if (known?.seen.ino === looked.ino && known.seen.ctimeNs === looked.ctimeNs) continue;
    const stat = await disk.look(path);
    if (stat === undefined || !isStill(looked, stat, type)) continue;
    const before = known ?? db.byInode(looked.ino).find((entry) => isSameInode(entry.seen, stat));
    if (before !== undefined && before.record.type !== type) continue;
    const record = await readableRecord(context, path, stat, looked, before);
    if (record === undefined) continue;
    const id = before?.id ?? (await idOf(db, nodes, tree, place, type));
    for (const entry of db.byId(id)) if (!samePlace(entry, place) && (await hasLeft(context, entry))) db.remove(entry);
    db.put({ ...place, id, record, seen: looked });
    db.unsettle(place);
  }
}

/** Whether the object is as it was sealed; entries of a directory are objects of their own. */
function isStill(looked: Seen, stat: DiskStat, type: FileType): boolean {
  if (stat.type !== type) return false;
  return type === "directory" ? isSameInode(looked, stat) : !looked.hasty && looksSame(looked, stat);
}

/** Whether an object is no longer at a place where the folder had it. */
async function hasLeft({ db, disk }: FolderContext, entry: Entry): Promise<boolean> {
  const path = pathInFolder(db, entry);
  return path === undefined || (await disk.look(path))?.ino !== entry.seen.ino;
}

/** What the epoch said of the object. Undefined: that cannot be read now, and the object is compared as usual. */
async function readableRecord(...of: Parameters<typeof recordOf>): Promise<FileRecord | undefined> {
  try {
    return await recordOf(...of);
  } catch (error) {
    if (isUnreadable(error) || failedWith(error, ...GONE) || isGone(error)) return undefined;
    throw error;
  }
}

/** Removed meanwhile, or replaced by another type of file. */
const GONE = ["ENOENT", "ENOTDIR", "ELOOP", "EINVAL"];

async function recordOf(
  { disk, bucket, attention }: FolderContext,
  path: DiskPath,
  stat: DiskStat,
  looked: Seen,
  before: Entry | undefined,
): Promise<FileRecord | undefined> {
  const lookedNs = looked.ctimeNs;
  const isPlain = stat.type === "symlink" || !disk.hasXattrs || looked.xattrs === (before?.seen.xattrs ?? "");
  const shown = isPlain ? undefined : await disk.xattrs(path);
  const block = (cid: Cid) => bucket.blocks.get(cid);
  const made =
    before === undefined
      ? recordOfNew(stat, shown ?? NO_XATTRS, stat.size, { attention, lookedNs })
      : withAttributes(before.record, before.seen, stat, attention);
  const xattrs = before === undefined || shown === undefined ? made.xattrs : await mergedXattrs(made, shown, block);
  const record = { ...made, xattrs, ctimeNs: lookedNs };
  if (stat.type === "directory") return record;
  if (stat.type === "symlink") {
    const target = await disk.readLink(path);
    return { ...record, target, size: target.length };
  }
  const content = await contentOnDisk(disk, { path, stat }, bucket.contentConfig);
  return content && { ...record, content, size: stat.size, mtimeNs: stat.mtimeNs };
}

/** The id of an object that the epoch created. The tree may have it elsewhere, or no more. */
async function idOf(db: SyncDatabase, nodes: NodeStore, tree: Cid, place: Place, type: FileType): Promise<FileId> {
  const isFree = (id: FileId) => db.byId(id).length === 0;
  const there = await lookup(nodes, tree, place);
  if (there?.record.type === type && isFree(there.id)) return there.id;
  for (let generation = 0; ; generation++) {
    const id = birthId(place.parent, place.name, type, generation);
    if (isFree(id)) return id;
  }
}
