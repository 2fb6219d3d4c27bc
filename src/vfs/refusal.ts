/** POSIX errors, one error object per errno: they are common answers, and a stack trace would cost more. */
import { ERRNO } from "../base/errno.ts";
import type { FileName } from "../base/ids.ts";
import { MAX_NAME_BYTES } from "../base/limits.ts";
import { FsError } from "./filesystem.ts";

const refusals = new Map<number, FsError>();

/** `throw refuse("ENOENT")`. */
export function refuse(name: keyof typeof ERRNO): FsError {
  const errno = ERRNO[name];
  let error = refusals.get(errno);
  if (error === undefined) {
    error = new FsError(errno, name);
    refusals.set(errno, error);
  }
  return error;
}

/** Refuses names that no directory may hold. */
export function checkNewName(name: FileName): void {
  if (name.length > MAX_NAME_BYTES) throw refuse("ENAMETOOLONG");
  const reserved = name.length === 0 || name === "." || name === "..";
  if (reserved || name.includes("/") || name.includes("\0")) throw refuse("EINVAL");
}
