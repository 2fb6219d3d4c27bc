/** The file system calls that stores need: a port, so that tests can make them fail, or stop at any step. */
import * as fs from "node:fs/promises";
import { dirname } from "node:path";
import { SynclineError } from "../base/errors.ts";
import { failedWith, isDiskFull } from "../base/system-errors.ts";
import { unless } from "../base/unless.ts";
import type { ByteRange } from "./object-store.ts";

export interface Disk extends Pick<
  typeof fs,
  "link" | "lstat" | "mkdir" | "open" | "readFile" | "readdir" | "readlink" | "rename" | "stat" | "unlink" | "utimes"
> {
  /**
   * A file's size, and the ranges that `rangesOf` picks for that size, read as by `readUpTo`; rejects as opening does.
   * Undefined or absent: impossible in one step, so open the file.
   */
  readonly readNow?: (
    path: string,
    rangesOf: (size: number) => readonly ByteRange[],
  ) => Promise<{ readonly size: number; readonly parts: readonly Buffer[] }> | undefined;
}

export const systemDisk: Disk = fs;

/** Makes a folder and the folders above it, durably. */
export async function makeDurableFolder(disk: Disk, path: string, mode = 0o777): Promise<void> {
  const first = await makeFolders(disk, path, mode);
  if (first === undefined) return;
  for (let folder = path; folder.length >= dirname(first).length; folder = dirname(folder)) {
    await syncFolder(disk, folder);
    if (folder === dirname(folder)) break;
  }
}

/** As runtime/make-folders.ts, through the port. */
async function makeFolders(disk: Disk, path: string, mode: number): Promise<string | undefined> {
  try {
    await disk.mkdir(path, { mode });
    return path;
  } catch (cause) {
    const isThere = await disk.stat(path).then(
      (stat) => stat.isDirectory(),
      () => false,
    );
    if (isThere) return undefined;
    if (!failedWith(cause, "ENOENT") || dirname(path) === path) throw cause;
  }
  const first = await makeFolders(disk, dirname(path), mode);
  await unless("EEXIST", () => disk.mkdir(path, { mode }));
  return first ?? path;
}

/**
 * Refuses a link or a file in place of a subfolder, with `store_failed`: whoever may write to a shared folder could lead us
 * to files elsewhere. An absent one passes. Call it right before the folder is used: it may be replaced at any time.
 */
export async function requireOwnFolder(disk: Pick<Disk, "lstat">, folder: string): Promise<void> {
  const stat = await unless(["ENOENT", "ENOTDIR"], () => disk.lstat(folder));
  if (stat === undefined || stat.isDirectory()) return;
  const what = stat.isSymbolicLink() ? "a symbolic link" : "no folder";
  throw new SynclineError("store_failed", `${folder} is ${what}, so it is not used: it may lead to other files.`, {
    hint: "Remove it. If the bucket's own folder was moved from there, move that back.",
  });
}

/** Error codes of file systems without hard links; Windows reports EISDIR for exFAT. */
export const NO_LINKS = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EISDIR"];

/**
 * Makes the names in a folder durable. Windows cannot open folders, and some file systems cannot open or sync them, or not
 * for read-only users.
 */
export async function syncFolder(disk: Disk, folder: string): Promise<void> {
  if (process.platform === "win32") return;
  try {
    const handle = await disk.open(folder, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (cause) {
    if (!failedWith(cause, ...NO_FOLDER_SYNC)) throw cause;
  }
}

const NO_FOLDER_SYNC = ["EINVAL", "EISDIR", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EROFS", "EACCES", "EPERM"];

/** Picks ranges of a file by its size. */
export type RangesOf = (size: number) => readonly ByteRange[];

export interface RangesRead {
  readonly size: number;
  readonly parts: readonly Buffer[];
}

/** A file's size, and the ranges of it that `rangesOf` picks for that size; fewer bytes at its end. Rejects as opening does. */
export async function readRanges(
  disk: Pick<Disk, "open" | "readNow">,
  path: string,
  rangesOf: RangesOf,
): Promise<RangesRead> {
  return disk.readNow?.(path, rangesOf) ?? readEach(disk, path, rangesOf, readUpTo);
}

/** As `readRanges`, each range by `read`. */
export async function readEach(
  disk: Pick<Disk, "open">,
  path: string,
  rangesOf: RangesOf,
  read: (file: fs.FileHandle, offset: number, length: number) => Promise<Buffer>,
): Promise<RangesRead> {
  const file = await disk.open(path, "r");
  try {
    const { size } = await file.stat();
    const parts: Buffer[] = [];
    for (const { offset, length } of rangesOf(size)) parts.push(await read(file, offset, length));
    return { size, parts };
  } finally {
    await file.close();
  }
}

/** `length` bytes at `offset`, in new memory unless some is given; fewer at the end of the file. */
export async function readUpTo(
  file: fs.FileHandle,
  offset: number,
  length: number,
  bytes: Buffer = Buffer.allocUnsafeSlow(length),
): Promise<Buffer> {
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

/** The start of memory that was given for reading, if any was. */
export function startOf(memory: Uint8Array | undefined, length: number): Buffer | undefined {
  return memory && Buffer.from(memory.buffer, memory.byteOffset, length);
}

/** An open file, as far as writing needs it. May write fewer bytes than it is given. */
export interface WritableFile {
  writev(parts: readonly Uint8Array[], at: number): Promise<{ readonly bytesWritten: number }>;
}

/** Writes the parts in sequence, without joining them in memory first. */
export async function writeParts(file: WritableFile, offset: number, parts: readonly Uint8Array[]): Promise<void> {
  for (let rest = parts.filter(({ length }) => length > 0), at = offset; rest.length > 0;) {
    const { bytesWritten } = await file.writev(rest.slice(0, MAX_PARTS), at);
    at += bytesWritten;
    rest = behind(rest, bytesWritten);
  }
}

/** The most parts that Linux takes in one call (IOV_MAX). */
const MAX_PARTS = 1024;

/** The parts without their first `bytes` bytes. */
function behind(parts: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes;
  const index = parts.findIndex(({ length }) => length > left || ((left -= length), false));
  const [first, ...rest] = index < 0 ? [] : parts.slice(index);
  return first === undefined ? [] : [first.subarray(left), ...rest];
}

/** What a failed call on a store's folder means. Our own errors pass through. */
export function storeError(cause: unknown, address: string, doing: string): SynclineError {
  if (cause instanceof SynclineError) return cause;
  if (isDiskFull(cause)) {
    return new SynclineError("disk_full", `No space left at ${address} while ${doing}.`, {
      hint: "Free some space there. A mount keeps unpublished data and resumes by itself. A command must be run again.",
      cause,
    });
  }
  if (failedWith(cause, "EROFS", "EACCES", "EPERM")) {
    return new SynclineError("store_failed", `${address} refused ${doing}.`, {
      hint: "Check that the folder is mounted read-write, and that this user may read and write all that is in it.",
      cause,
    });
  }
  if (failedWith(cause, ...UNREACHABLE)) return unreachable(address, cause);
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new SynclineError("store_failed", `${address} failed while ${doing}: ${reason}.`, {
    hint: "Check its disk and the system log.",
    cause,
  });
}

export function unreachable(address: string, cause?: unknown): SynclineError {
  return new SynclineError("store_unreachable", `The folder of ${address} is missing.`, {
    hint: "Check that its disk is mounted and that the folder was not moved. Agents continue once it is back.",
    cause,
  });
}

/** Codes of a missing folder, and of network file systems that lost their server. */
const UNREACHABLE = [
  "ENOENT",
  "ENOTDIR",
  "ESTALE",
  "ENOTCONN",
  "ENODEV",
  "ENXIO",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "ESHUTDOWN",
];
