/**
 * Files that a killed run brought without recording them. A scan would take them for local changes, and a version that
 * others replaced meanwhile would come back.
 */
import { isGone } from "../../blocks/not-found.ts";
import { lookup } from "../../fstree/fs-reader.ts";
import type { Place } from "../../fstree/object-rows.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { DiskPath, SyncDisk } from "../disk/disk.ts";
import { syncDirectories } from "../scan/durable.ts";
import { lookBelow } from "../scan/walk.ts";
import type { Entry } from "../known/entry.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import { digestOfXattrs, seenOf } from "../known/seen.ts";

export interface ArrivedContext {
  readonly db: SyncDatabase;
  readonly disk: SyncDisk;
  readonly nodes: NodeStore;
  /** Proves that the file at a path has the record's bytes. */
  readonly isAsKnown: (path: DiskPath, entry: Pick<Entry, "record">) => Promise<boolean>;
  readonly nowNs: () => bigint;
}

/** In portions: a killed first sync may leave very many. */
function* unsettledOf(db: SyncDatabase): Generator<Place> {
  const end = db.behind.lastRow();
  for (let places = db.behind.from(0, end, AT_ONCE); places.length > 0;) {
    yield* places;
    places = db.behind.from(places.at(-1)?.row ?? end, end, AT_ONCE);
  }
}

/**
 * Where the folder is behind its base, records files that are already as the base has them. If that root is gone, this is
 * unknowable: such files then count as created here, and are merged.
 */
export async function noteArrived(context: ArrivedContext): Promise<void> {
  try {
    await noteAll(context);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

async function noteAll({ db, disk, nodes, isAsKnown, nowNs }: ArrivedContext): Promise<void> {
  const tree = db.base()?.tree;
  if (tree === undefined) return;
  const durable = new Set<string>();
  for (const place of unsettledOf(db)) {
    const target = await lookup(nodes, tree, place);
    const path = pathInFolder(db, place);
    if (target?.record.type !== "file" || path === undefined) continue;
    const { id, record } = target;
    const stat = await lookBelow(disk, path);
    const entry = db.at(place);
    if (stat === undefined || stat === "closed") continue;
    // A file arrives with its final mtime, and has another inode than the file it replaced.
    if (stat.type !== "file" || stat.mtimeNs !== record.mtimeNs || stat.size !== record.size) continue;
    if (entry?.seen.ino === stat.ino || (entry !== undefined && entry.id !== id)) continue;
    const lookedNs = nowNs();
    if (!(await isAsKnown(path, { record }))) continue;
    const digest = disk.hasXattrs ? digestOfXattrs(await disk.xattrs(path)) : "";
    // It was there before this run.
    const directory = path.slice(0, -1);
    if (!durable.has(directory.join("/"))) await syncDirectories(disk, [directory]);
    durable.add(directory.join("/"));
    await db.transaction(() => {
      db.put({ parent: place.parent, name: place.name, id, record, seen: seenOf(stat, digest, lookedNs) });
      db.touched.add(place);
    });
  }
}

const AT_ONCE = 1_024;
