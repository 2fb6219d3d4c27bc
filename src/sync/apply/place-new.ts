/**
 * Puts new files in their places, many at a time if the disk can: one by one, each takes a dozen system calls between other
 * work. Only for files that affect nothing else.
 */
import type { FileId } from "../../base/ids.ts";
import { ROOT_ID } from "../../base/ids.ts";
import type { ApplyContext } from "./apply-context.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { DiskPath } from "../disk/disk.ts";
import type { Ready } from "./incoming.ts";
import { NEW_PATH } from "../disk/paths.ts";
import type { Placing } from "./placing.ts";
import type { Put } from "./plan.ts";
import { pathInFolder } from "../known/path-in-folder.ts";

export interface NewFilePut {
  readonly put: Put;
  readonly ready: Ready;
  /** Where its directory is in the folder now. */
  readonly path: DiskPath;
}

/** The puts from an index up to the first that is not a new file at a free place; none if they are few. */
export function newFilesFrom(
  db: SyncDatabase,
  puts: readonly Put[],
  from: number,
  ready: ReadonlyMap<Put, Ready>,
): readonly NewFilePut[] {
  const files: NewFilePut[] = [];
  const directories = new Map<FileId, DiskPath | undefined>();
  for (let at = from; at < puts.length; at++) {
    const put = puts[at];
    const made = put && ready.get(put);
    if (put === undefined || made === undefined) break;
    if (!put.isNew || put.target.record.type === "directory") break;
    const { parent, name } = put.place;
    if (!directories.has(parent)) directories.set(parent, directoryOf(db, parent));
    const above = directories.get(parent);
    if (above === undefined) break;
    files.push({ put, ready: made, path: [...above, name] });
  }
  return files.length < FEW ? [] : files;
}

/** Answers how many got their places; the first that did not, and all after it, are unchanged. Throws as the disk does. */
export async function placeNew(
  { disk, redo }: ApplyContext,
  placing: Placing,
  files: readonly NewFilePut[],
): Promise<number> {
  if (disk.placeAll === undefined || files.length === 0) return 0;
  const moves = files.flatMap(({ ready, path }) => {
    const name = ready.path.at(-1);
    return name === undefined ? [] : [{ name, to: path }];
  });
  const marks = redo.placing(files.map(({ put, ready }) => placing.asMade(put.place, put.target, ready)));
  const looks = await disk.placeAll(NEW_PATH, moves, marks);
  redo.quietly(() => {
    for (const [index, stat] of looks.entries()) {
      const file = files[index];
      if (file !== undefined) placing.placed(file.put.place, file.path, file.put.target, file.ready, stat);
    }
  });
  return looks.length;
}

function directoryOf(db: SyncDatabase, id: FileId): DiskPath | undefined {
  if (id === ROOT_ID) return [];
  const [entry] = db.byId(id);
  return entry === undefined ? undefined : pathInFolder(db, entry);
}

/** Handing fewer to another thread takes longer than placing them. */
const FEW = 4;
