/** The calls of a file system that stores need: a port, so that tests can make one fail or stop at any step. */
import * as fs from "node:fs/promises";
import { dirname } from "node:path";
import { SynclineError } from "../base/errors.ts";
import { failedWith, isDiskFull } from "../base/system-errors.ts";
import type { ByteRange } from "./object-store.ts";

export interface Disk extends Pick<
  typeof fs,
  "link" | "mkdir" | "open" | "readFile" | "readdir" | "readlink" | "rename" | "stat" | "unlink" | "utimes"
> {
  /**
   * The size of a file and parts of it, which `rangesOf` names by that, as `readUpTo` reads them; rejects as opening it does. Undefined,
   * or not there: not in one step, so open the file.
   */
  readonly readNow?: (
    path: string,
    rangesOf: (size: number) => readonly ByteRange[],
  ) => Promise<{ readonly size: number; readonly parts: readonly Buffer[] }> | undefined;
}

export const systemDisk: Disk = fs;

/** Makes a folder and the folders above it, durably. */
export async function makeDurableFolder(disk: Disk, path: string, mode = 0o777): Promise<void> {
  const first = await disk.mkdir(path, { recursive: true, mode });
  if (first === undefined) return;
  for (let folder = path; folder.length >= dirname(first).length; folder = dirname(folder)) {
    await syncFolder(disk, folder);
    if (folder === dirname(folder)) break;
  }
}

/** A file system that has no hard links says so; Windows says EISDIR for what exFAT does not know. */
export const NO_LINKS = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EISDIR"];

/**
 * Makes the names in a folder durable. Folders cannot be opened on Windows; and some file systems do not open or sync them, or not
 * for those who may only read.
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

/** `length` bytes at `offset`, in memory of their own unless some is given; fewer at the end of the file. */
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

/** Writes the parts one behind the other, without putting them together in memory first. */
export async function writeParts(file: fs.FileHandle, offset: number, parts: readonly Uint8Array[]): Promise<void> {
  for (let rest = parts.filter(({ length }) => length > 0), at = offset; rest.length > 0;) {
    const { bytesWritten } = await file.writev(rest.slice(0, MAX_PARTS), at);
    at += bytesWritten;
    rest = behind(rest, bytesWritten);
  }
}

/** What Linux takes in one call (IOV_MAX). */
const MAX_PARTS = 1024;

/** What is left of the parts after so many bytes. */
function behind(parts: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes;
  const index = parts.findIndex(({ length }) => length > left || ((left -= length), false));
  const [first, ...rest] = index < 0 ? [] : parts.slice(index);
  return first === undefined ? [] : [first.subarray(left), ...rest];
}

/** What a failed call on the folder of a store means. Errors that are ours already pass through. */
export function storeError(cause: unknown, address: string, doing: string): SynclineError {
  if (cause instanceof SynclineError) return cause;
  if (isDiskFull(cause)) {
    return new SynclineError("disk_full", `There is no space left at ${address} while ${doing}.`, {
      hint: "Free some space there. A mount keeps what is not published and goes on by itself then; a command is run again.",
      cause,
    });
  }
  if (failedWith(cause, "EROFS", "EACCES", "EPERM")) {
    return new SynclineError("store_failed", `${address} refuses ${doing}.`, {
      hint: "Check that the folder is mounted for writing and that this user may write in it.",
      cause,
    });
  }
  if (failedWith(cause, ...UNREACHABLE)) return unreachable(address, cause);
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new SynclineError("store_failed", `${address} failed while ${doing}: ${reason}.`, {
    hint: "Check the disk that it is on, and what the system's log says of it.",
    cause,
  });
}

export function unreachable(address: string, cause?: unknown): SynclineError {
  return new SynclineError("store_unreachable", `The folder of ${address} is not there.`, {
    hint: "Check that its disk is mounted and that nobody moved it; work goes on once it is back.",
    cause,
  });
}

/** Codes of a folder that went away, and of network file systems that lost their server. */
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
