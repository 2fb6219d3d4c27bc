/** The disk under a master's pack files: a port, so that tests can fill it, make it fail, or stop it at any call. */
import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { unless } from "../../base/unless.ts";
import type { PackFooter } from "../../format/blocks/pack.ts";
import { readFooter } from "../../packs/pack-footer.ts";
import { makeDurableFolder, readUpTo, syncFolder, systemDisk, writeParts } from "../../objects/disk.ts";

/** Calls throw the system's errors; ENOSPC and EDQUOT when there is no space. */
export interface PackDisk {
  /** The names in a folder, in any order; none if it does not exist. */
  list(folder: string): Promise<string[]>;
  /** Makes a folder and its parents, durably. */
  makeFolder(folder: string): Promise<void>;
  /** A new file; its name is durable after `syncFolder`. Throws EEXIST. */
  create(path: string): Promise<PackFile>;
  /** Undefined if it does not exist. */
  open(path: string, access: "read" | "write"): Promise<PackFile | undefined>;
  rename(from: string, to: string): Promise<void>;
  /** A missing file is not an error. */
  remove(path: string): Promise<void>;
  syncFolder(folder: string): Promise<void>;
}

export interface PackFile {
  size(): Promise<number>;
  /** Fewer bytes at the end of the file. Allocates memory, unless `memory` of that length is given. */
  read(offset: number, length: number, memory?: Buffer): Promise<Buffer>;
  /** Writes all of these in sequence. */
  write(offset: number, parts: readonly Uint8Array[]): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Makes bytes and size durable. After a failure the disk's state is unknown. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The footer of a pack. Throws `format_invalid` if it is not complete, and the system's errors. */
export async function footerOf(file: PackFile): Promise<PackFooter> {
  const size = await file.size();
  const readEnd = async (length: number) => ({ bytes: await file.read(Math.max(0, size - length), length), size });
  return (await readFooter(readEnd)).footer;
}

export const systemPackDisk: PackDisk = {
  list: async (folder) => {
    return unless("ENOENT", () => systemDisk.readdir(folder), []);
  },
  makeFolder: (folder) => makeDurableFolder(systemDisk, folder, 0o700),
  create: async (path) => packFile(await systemDisk.open(path, CREATE, 0o600)),
  open: async (path, access) => {
    return unless("ENOENT", async () => packFile(await systemDisk.open(path, access === "read" ? "r" : "r+")));
  },
  rename: (from, to) => systemDisk.rename(from, to),
  remove: async (path) => {
    await unless("ENOENT", () => systemDisk.unlink(path));
  },
  syncFolder: (folder) => syncFolder(systemDisk, folder),
};

const CREATE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL;

function packFile(handle: FileHandle): PackFile {
  return {
    size: async () => (await handle.stat()).size,
    read: (offset, length, memory) => readUpTo(handle, offset, length, memory),
    write: (offset, parts) => writeParts(handle, offset, parts),
    truncate: (size) => handle.truncate(size),
    sync: () => handle.datasync(),
    close: () => handle.close(),
  };
}
