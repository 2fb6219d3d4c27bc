/** A master's data folder: locked by one process, and marked with its format version. */
import { join } from "node:path";
import { SynclineError } from "../../base/errors.ts";
import { orElse } from "../../base/unless.ts";
import { GENESIS_OBJECT } from "../../format/blocks/object-name.ts";
import { storeError } from "../../objects/disk.ts";
import { type Databases, systemDatabases } from "../../objects/databases.ts";
import type { PackDisk } from "./pack-disk.ts";

/** As lockDataFolder, for an existing master's folder. Throws `no_such_path` if it is not one. */
export async function lockExistingFolder(dir: string, disk: PackDisk): Promise<Disposable> {
  const marker = await disk.open(join(dir, MARKER), "read").catch((cause: unknown) => {
    throw storeError(cause, dir, "opening the data folder");
  });
  await marker?.close();
  if (marker !== undefined) return lockDataFolder(dir, disk);
  throw new SynclineError("no_such_path", `${dir} is not a master's data folder.`, {
    hint: "Use the folder given to `syncline serve --data DIR`.",
  });
}

/**
 * Locks the folder, made if necessary. Throws `state_in_use`, `feature_unknown`, `state_corrupt`, `store_failed`, and
 * `path_exists` for the folder of a file:// bucket.
 */
export async function lockDataFolder(
  dir: string,
  disk: PackDisk,
  databases: Databases = systemDatabases,
): Promise<Disposable> {
  try {
    await disk.makeFolder(dir);
  } catch (cause) {
    throw storeError(cause, dir, "creating the data folder");
  }
  const lock = databases.lock(join(dir, "lock"), {
    inUse: `Another process is using the data folder ${dir}.`,
    hint: "Stop the master that runs there first. Its lock ends with the process.",
  });
  try {
    await checkFormat(dir, disk);
    return lock;
  } catch (cause) {
    lock[Symbol.dispose]();
    throw storeError(cause, dir, "opening the data folder");
  }
}

export function rootsPath(dir: string): string {
  return join(dir, "roots.db");
}

export function revocationsPath(dir: string): string {
  return join(dir, "auth.db");
}

const MARKER = "master.json";
const FORMAT = 1;

/** A master does not serve such a bucket: it would show none, and mix its files with the bucket's. */
async function refuseBucket(dir: string, disk: PackDisk): Promise<void> {
  const genesis = await disk.open(join(dir, GENESIS_OBJECT), "read");
  await genesis?.close();
  if (genesis === undefined) return;
  throw new SynclineError("path_exists", `${dir} is the folder of a file:// bucket, which a master cannot serve.`, {
    hint: "Give the master a folder of its own, make a bucket there, and copy the files.",
  });
}

async function checkFormat(dir: string, disk: PackDisk): Promise<void> {
  const path = join(dir, MARKER);
  const file = await disk.open(path, "read");
  if (file === undefined) {
    await refuseBucket(dir, disk);
    return writeMarker(path, dir, disk);
  }
  try {
    const format = formatOf((await file.read(0, MAX_MARKER_BYTES)).toString("utf8"));
    if (format === FORMAT) return;
    if (format === undefined) {
      throw new SynclineError("state_corrupt", `${path} is damaged.`, {
        hint: `If this is a master's data folder, write {"format":${FORMAT}} into it.`,
      });
    }
    throw new SynclineError("feature_unknown", `The data folder ${dir} has the format of a newer version.`, {
      hint: "Upgrade syncline on this machine.",
    });
  } finally {
    await file.close();
  }
}

async function writeMarker(path: string, dir: string, disk: PackDisk): Promise<void> {
  await disk.remove(`${path}.new`);
  const file = await disk.create(`${path}.new`);
  try {
    await file.write(0, [Buffer.from(`${JSON.stringify({ format: FORMAT })}\n`)]);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(`${path}.new`, path);
  await disk.syncFolder(dir);
}

const MAX_MARKER_BYTES = 4096;

function formatOf(text: string): number | undefined {
  return orElse(undefined, () => {
    const { format } = JSON.parse(text) as { format?: unknown };
    return typeof format === "number" ? format : undefined;
  });
}
