/**
 * Files and directories that a killed run brought without recording them. A scan would take them for local changes, and a
 * version that others replaced meanwhile would come back.
 */
import type { FileId, FileName } from "../../base/ids.ts";
import { isGone } from "../../blocks/not-found.ts";
import { lookup, type TreeObject } from "../../fstree/fs-reader.ts";
import type { Place } from "../../fstree/object-rows.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { DiskPath, SyncDisk } from "../disk/disk.ts";
import { syncDirectories } from "../scan/durable.ts";
import { listIfReadable, lookBelow } from "../scan/walk.ts";
import type { Entry } from "../known/entry.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import { isSameInode, seenOf } from "../known/seen.ts";
import { PASSING, type UnsettledPlace } from "../known/unsettled.ts";
import { digestOn } from "./incoming.ts";
import { unfinished, UNFINISHED_MODE } from "./unfinished.ts";

export interface ArrivedContext {
  readonly db: SyncDatabase;
  readonly disk: SyncDisk;
  readonly nodes: NodeStore;
  /** Proves that the file at a path has the record's bytes. */
  readonly isAsKnown: (path: DiskPath, entry: Pick<Entry, "record">) => Promise<boolean>;
  readonly nowNs: () => bigint;
}

/** In portions: a killed first sync may leave very many. */
function* unsettledOf(db: SyncDatabase): Generator<UnsettledPlace> {
  const end = db.behind.lastRow();
  for (let places = db.behind.from(0, end, AT_ONCE); places.length > 0;) {
    yield* places;
    places = db.behind.from(places.at(-1)?.row ?? end, end, AT_ONCE);
  }
}

/**
 * Where the folder is behind its base, records files that are already as the base has them, and directories that are to
 * become so. If that root is gone, this is unknowable: they then count as created here, and are merged.
 */
export async function noteArrived(context: ArrivedContext): Promise<void> {
  try {
    await noteAll(context);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

async function noteAll(context: ArrivedContext): Promise<void> {
  const { db, disk, nodes } = context;
  const tree = db.base()?.tree;
  if (tree === undefined) return;
  const listed = new Listed(disk);
  const durable = new Set<string>();
  // An entry may come before its directory: it waits for the next round.
  for (let noted: ReadonlySet<FileId> | undefined; noted?.size !== 0;) {
    const directories = new Set<FileId>();
    for (const unsettled of unsettledOf(db)) {
      if (noted?.has(unsettled.parent) === false) continue;
      const target = await lookup(nodes, tree, unsettled);
      const path = pathInFolder(db, unsettled);
      if (target === undefined || path === undefined) continue;
      const isDirectory = target.record.type === "directory";
      const entry = await (isDirectory ? directoryAt : fileAt)(context, unsettled, target, path);
      if (entry === undefined || !(await listed.has(path, entry.seen.ino))) continue;
      // It was there before this run.
      const directory = path.slice(0, -1);
      if (!durable.has(directory.join("/"))) await syncDirectories(disk, [directory]);
      durable.add(directory.join("/"));
      await db.transaction(() => {
        db.put(entry);
        db.touched.add(entry);
      });
      if (isDirectory) directories.add(entry.id);
    }
    noted = directories;
  }
}

/** The spellings that the disk lists. A disk that ignores case also finds a file by another one. */
class Listed {
  readonly #disk: SyncDisk;
  #last: { readonly directory: string; readonly names: ReadonlyMap<FileName, bigint> } | undefined;

  constructor(disk: SyncDisk) {
    this.#disk = disk;
  }

  async has(path: DiskPath, ino: bigint): Promise<boolean> {
    const above = path.slice(0, -1);
    const directory = above.join("/");
    if (this.#last?.directory !== directory) {
      const entries = (await listIfReadable(this.#disk, above)) ?? [];
      this.#last = { directory, names: new Map(entries.map(({ name, stat }) => [name, stat.ino])) };
    }
    const name = path.at(-1);
    return name !== undefined && this.#last.names.get(name) === ino;
  }
}

async function fileAt(
  { db, disk, isAsKnown, nowNs }: ArrivedContext,
  { parent, name }: Place,
  { id, record }: TreeObject,
  path: DiskPath,
): Promise<Entry | undefined> {
  if (record.type !== "file") return undefined;
  const stat = await lookBelow(disk, path);
  const entry = db.at({ parent, name });
  if (stat === undefined || stat === "closed") return undefined;
  // A file arrives with its final mtime, and has another inode than the file it replaced.
  if (stat.type !== "file" || stat.mtimeNs !== record.mtimeNs || stat.size !== record.size) return undefined;
  if (entry?.seen.ino === stat.ino || (entry !== undefined && entry.id !== id)) return undefined;
  const lookedNs = nowNs();
  if (!(await isAsKnown(path, { record }))) return undefined;
  return { parent, name, id, record, seen: seenOf(stat, await digestOn(disk, path), lookedNs) };
}

/** A new directory without its attributes yet. Taken for one made in this folder, it would give its mode to everyone. */
async function directoryAt(
  { db, disk, nowNs }: ArrivedContext,
  { parent, name, reason }: UnsettledPlace,
  { id, record }: TreeObject,
  path: DiskPath,
): Promise<Entry | undefined> {
  if (!PASSING.has(reason) || db.at({ parent, name }) !== undefined || db.byId(id).length > 0) return undefined;
  const stat = await lookBelow(disk, path);
  if (stat === undefined || stat === "closed" || stat.type !== "directory") return undefined;
  // A parent may pass on its set-group-id bit.
  if ((stat.mode & 0o777) !== UNFINISHED_MODE || db.hasInode(stat.ino, ({ seen }) => isSameInode(seen, stat)))
    return undefined;
  const lookedNs = nowNs();
  return { parent, name, id, record: unfinished(record), seen: seenOf(stat, await digestOn(disk, path), lookedNs) };
}

const AT_ONCE = 1_024;
