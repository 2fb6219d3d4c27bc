/** The calls of a file system that stores need: a port, so that tests can make one fail or stop at any step. */
import * as fs from "node:fs/promises";
import { SynclineError } from "../base/errors.ts";

export type Disk = Pick<
  typeof fs,
  "link" | "mkdir" | "open" | "readFile" | "readdir" | "readlink" | "rename" | "stat" | "unlink" | "utimes"
>;

export const systemDisk: Disk = fs;

/** Whether a call failed with this code of the operating system ("ENOENT"). */
export function failedWith(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code);
}

/** What a failed call on the folder of a store means. Errors that are ours already pass through. */
export function storeError(cause: unknown, address: string, doing: string): SynclineError {
  if (cause instanceof SynclineError) return cause;
  if (failedWith(cause, "ENOSPC", "EDQUOT")) {
    return new SynclineError("disk_full", `There is no space left at ${address} while ${doing}.`, {
      hint: "Free some space there; what is not published yet is kept and goes out then.",
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
  return new SynclineError("store_failed", `${address} failed while ${doing}.`, { cause });
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
