/**
 * The folder's marker: says that the folder is there and to which bucket it belongs. The empty mount point of an unplugged
 * disk must not look like a folder with all files deleted, nor may another bucket's folder be taken for this one's.
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { type ErrorCode, SynclineError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import { failedWith, isSystemError } from "../../base/system-errors.ts";
import type { SyncDatabase } from "./database.ts";
import type { DiskPath, ListedEntry, SyncDisk } from "../disk/disk.ts";
import { MARKER_PATH, NEW_PATH, newPath, OWN_FOLDER, OWN_FOLDER_PATH, PARKED_PATH, pathText } from "../disk/paths.ts";

interface Marker {
  /** The bucket's genesis. */
  readonly bucket: string;
  /** Random, drawn when a state claims this folder. A plain copy keeps it. */
  readonly folder: string;
}

/** For messages: what people call the folder, and where its state is. */
export interface FolderNames {
  readonly folder: string;
  readonly state: string;
}

/**
 * Creates a missing folder if it was never synced with this state, unless told otherwise; its parent must exist. Throws
 * `no_such_path` if a folder that was synced is missing: its disk may not be mounted yet, and a service tries again.
 */
export async function requireFolder(db: SyncDatabase, names: FolderNames, creates = true): Promise<void> {
  if (existsSync(names.folder)) return;
  if (db.fact("folder") !== undefined) throw unmarked(names, "is missing", "no_such_path");
  if (!creates) return;
  try {
    await mkdir(names.folder);
  } catch (cause) {
    if (!failedWith(cause, "EEXIST")) throw cause;
    throw new SynclineError("not_a_directory", `${names.folder} is a dangling symbolic link.`, {
      hint: "Create the folder that it points to, or choose another one.",
      cause,
    });
  }
}

/** Opens the folder for a pass. Throws `no_such_path` if a folder that was synced is missing, and else as the disk does. */
export async function openFolder(db: SyncDatabase, disk: SyncDisk, names: FolderNames): Promise<void> {
  try {
    await disk.open();
  } catch (error) {
    if (!failedWith(error, "ENOENT") || db.fact("folder") === undefined) throw error;
    throw unmarked(names, "is missing", "no_such_path");
  }
}

/** Throws `foreign_bucket` for another bucket's folder, `precondition_failed` if it is not the folder that was synced. */
export async function requireMarker(
  db: SyncDatabase,
  disk: SyncDisk,
  bucket: string,
  names: FolderNames,
): Promise<void> {
  const marker = await readMarker(disk);
  if (marker !== undefined && marker.bucket !== bucket) throw foreign(names, marker.bucket);
  const known = db.fact("folder");
  if (known !== undefined && marker?.folder === known) return;
  throw unmarked(names, marker === undefined ? "has no marker (.syncline)" : "is not the folder that was synced here");
}

/** Marks a folder that was never synced with this state; a synced one must have its marker. Throws as `requireMarker`. */
export async function claimFolder(
  db: SyncDatabase,
  disk: SyncDisk,
  bucket: string,
  names: FolderNames,
  random: Random,
): Promise<void> {
  if (db.fact("folder") !== undefined && db.base() !== undefined) return requireMarker(db, disk, bucket, names);
  const marker = await readMarker(disk);
  if (marker !== undefined && marker.bucket !== bucket) throw foreign(names, marker.bucket);
  for (const path of [OWN_FOLDER_PATH, NEW_PATH, PARKED_PATH]) await makeOwn(disk, path);
  const folder = Buffer.from(random.bytes(16)).toString("hex");
  db.setFact("bucket", bucket);
  db.setFact("folder", folder);
  await writeMarker(disk, { bucket, folder }, random);
}

/**
 * Whether this directory is synced with the same bucket as a folder of its own. If it were synced as part of this folder too,
 * each would copy the other's files into ever deeper subfolders. A copy of this folder with its marker is an ordinary
 * directory. Undefined: the marker cannot be read.
 */
export async function isSyncedApart(
  { db, disk, bucket }: MarkedContext,
  path: DiskPath,
  entries: readonly Pick<ListedEntry, "name">[],
): Promise<boolean | undefined> {
  if (!entries.some(({ name }) => name === OWN_FOLDER)) return false;
  try {
    const marker = await readMarker(disk, path);
    return marker?.bucket === bucket.genesis.cid && marker.folder !== db.fact("folder");
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return undefined;
  }
}

interface MarkedContext {
  readonly db: SyncDatabase;
  readonly disk: SyncDisk;
  readonly bucket: { readonly genesis: Pick<Bucket["genesis"], "cid"> };
}

/** Creates the folders for files in transit, in case someone removed them. */
export async function ensureOwnFolders(disk: SyncDisk): Promise<void> {
  for (const path of [NEW_PATH, PARKED_PATH]) await makeOwn(disk, path);
}

async function readMarker(disk: SyncDisk, above: DiskPath = []): Promise<Marker | undefined> {
  try {
    const file = await disk.read([...above, ...MARKER_PATH]);
    try {
      const text = Buffer.from(await file.read(0, MAX_MARKER_BYTES)).toString("utf8");
      const { bucket, folder } = JSON.parse(text) as Partial<Marker>;
      return typeof bucket === "string" && typeof folder === "string" ? { bucket, folder } : undefined;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof SyntaxError || failedWith(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}

async function writeMarker(disk: SyncDisk, marker: Marker, random: Random): Promise<void> {
  const path = newPath(Buffer.from(random.bytes(8)).toString("hex"));
  const file = await disk.create(path);
  try {
    await file.write(0, Buffer.from(`${JSON.stringify(marker)}\n`));
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(path, MARKER_PATH, "replace");
  await disk.syncDirectory(OWN_FOLDER_PATH);
  await disk.syncDirectory([]);
}

async function makeOwn(disk: SyncDisk, path: DiskPath): Promise<void> {
  try {
    await disk.makeDirectory(path);
  } catch (error) {
    if (!failedWith(error, "EEXIST")) throw error;
    const type = (await disk.look(path))?.type;
    if (type === "directory") return;
    if (type === undefined) throw error;
    throw new SynclineError("precondition_failed", `${pathText(path)} is a ${type}, not a directory.`, {
      hint: "Sync keeps its own files there. Rename it, or remove it.",
      cause: error,
    });
  }
}

function foreign({ folder }: FolderNames, found: string): SynclineError {
  return new SynclineError("foreign_bucket", `${folder} is synced with another bucket, ${found}.`, {
    hint: "Choose that bucket, or another folder. To detach this folder from that bucket, remove its .syncline folder and the state that it was synced with.",
  });
}

function unmarked(
  { folder, state }: FolderNames,
  what: string,
  code: ErrorCode = "precondition_failed",
): SynclineError {
  return new SynclineError(code, `${folder} ${what}: nothing is synced, and nothing counts as deleted.`, {
    hint: `If its disk is not mounted, mount it. If this is a new or restored folder, remove the state ${state}. Folder and bucket are then merged, and nothing is deleted.`,
  });
}

const MAX_MARKER_BYTES = 4_096;
