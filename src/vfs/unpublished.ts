/** Unpublished files below some paths, which are as this machine shows them. */
import { type FileId, type FileName, type Ino, ROOT_INO } from "../base/ids.ts";
import { whenLoaded } from "../fstree/fs-reader.ts";
import { isUnlinked } from "../overlay/dirty-object.ts";
import { FsError } from "./filesystem.ts";
import type { Objects } from "./objects.ts";

export type Names = readonly FileName[];

/** Plain data, since it is sent between threads. */
export interface Unpublished {
  /** Unpublished files at or below the paths, and the bytes that only this machine has. */
  readonly files: number;
  readonly bytes: number;
  /** All objects that were published before and have changed here, wherever they are. */
  readonly changed: readonly FileId[];
  /** The paths that do not exist here. */
  readonly absent: readonly Names[];
}

/** Rejects as loading blocks does. */
export function unpublishedBelow(objects: Objects, paths: readonly Names[]): Promise<Unpublished> {
  return whenLoaded(objects.loader, () => peekUnpublished(objects, paths));
}

function peekUnpublished(objects: Objects, paths: readonly Names[]): Unpublished {
  const tops = paths.map((path) => resolve(objects, path));
  const isBelow = below(objects, new Set(tops.filter((ino) => ino !== undefined)));
  const changed: FileId[] = [];
  let [files, bytes] = [0, 0];
  for (const object of objects.overlay.state.objects()) {
    if (object.id !== undefined) changed.push(object.id);
    if (object.type === "directory" || isUnlinked(object)) continue;
    if (!isBelow(object.ino) && ![...object.links].some(({ parent }) => isBelow(parent))) continue;
    files++;
    bytes += object.extents?.dataBytes ?? 0;
  }
  return { files, bytes, changed, absent: paths.filter((_, at) => tops[at] === undefined) };
}

function resolve(objects: Objects, path: Names): Ino | undefined {
  try {
    let at: Ino | undefined = ROOT_INO;
    for (const name of path) if (at !== undefined) at = objects.child(at, name);
    return at;
  } catch (error) {
    // A name in the middle is not a directory.
    if (error instanceof FsError) return undefined;
    throw error;
  }
}

/** Tells whether an inode is one of `tops`, or a directory below one. */
function below(objects: Objects, tops: ReadonlySet<Ino>): (ino: Ino) => boolean {
  const known = new Map<Ino, boolean>([
    [ROOT_INO, tops.has(ROOT_INO)],
    ...[...tops].map((ino) => [ino, true] as const),
  ]);
  return (ino) => {
    const way: Ino[] = [];
    let [at, found]: [Ino | undefined, boolean | undefined] = [ino, known.get(ino)];
    while (at !== undefined && found === undefined) {
      way.push(at);
      known.set(at, false);
      at = parentOf(objects, at);
      found = at === undefined ? false : known.get(at);
    }
    for (const each of way) known.set(each, found ?? false);
    return found ?? false;
  };
}

/** Undefined for a directory that others removed. Throws BlockMiss. */
function parentOf(objects: Objects, ino: Ino): Ino | undefined {
  try {
    return objects.parentOf(ino);
  } catch (error) {
    if (error instanceof FsError) return undefined;
    throw error;
  }
}
