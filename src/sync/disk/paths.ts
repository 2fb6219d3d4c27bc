/** Paths in a synced folder: its own files, which are never synced, and paths as text. */
import type { FileId, FileName } from "../../base/ids.ts";
import { nameToText } from "../../base/names.ts";
import type { DiskPath } from "./disk.ts";

/** The folder's own directory: its marker, files being written, parked objects. */
export const OWN_FOLDER = ".syncline" as FileName;
export const IGNORE_FILE = ".synclineignore" as FileName;

export const OWN_FOLDER_PATH: DiskPath = [OWN_FOLDER];
export const MARKER_PATH: DiskPath = [OWN_FOLDER, "folder.json" as FileName];
export const NEW_PATH: DiskPath = [OWN_FOLDER, "new" as FileName];
/** Begins the names of records in the folder's own directory: see unlocking.ts. */
export const UNLOCKED = "unlocked-";
export const PARKED_PATH: DiskPath = [OWN_FOLDER, "parked" as FileName];

/** The database's parent for parked objects, which are out of sight until they get a new place. */
export const PARKED_ID = "parked" as FileId;

/** Where a disk without the addon puts aside what it finds at the old name of a moved file. `ino`: the moved file's. */
export function leftPath(ino: bigint): DiskPath {
  return newPath(`left-${ino}`);
}

/** Undefined: not such a name. */
export function inodeOfLeft(name: string): bigint | undefined {
  const [, ino] = /^left-(\d+)$/.exec(name) ?? [];
  return ino === undefined ? undefined : BigInt(ino);
}

/** Where a parked object is: under its id. */
export function parkedPath(id: FileId): DiskPath {
  return [...PARKED_PATH, id as string as FileName];
}

export function newPath(name: string): DiskPath {
  return [...NEW_PATH, name as FileName];
}

/** For people and for ignore rules, which are text: bytes that are not UTF-8 become U+FFFD. */
export function pathText(path: DiskPath): string {
  return path.map(nameToText).join("/");
}

/** Whether a path is another one, or below it. */
export function isWithin(path: DiskPath, above: DiskPath): boolean {
  return above.every((name, index) => path[index] === name);
}

export function isOwn(path: DiskPath): boolean {
  return path[0] === OWN_FOLDER;
}
