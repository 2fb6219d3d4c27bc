/** Errors of writing a new object that concern it alone, so that others can go on. */
import { failedWith } from "../../base/system-errors.ts";
import { isGone } from "../../blocks/not-found.ts";
import type { FileRecord } from "../../format/files/record.ts";
import { NOT_HELD, UNSUPPORTED } from "../disk/disk.ts";

/** Whether it can be such an error. */
export function isOfOne(error: unknown): boolean {
  return isGone(error) || failedWith(error, ...NOT_HELD, ...NO_SYMLINKS);
}

/** "lost": the bucket lacks its blocks. "not held": the disk cannot hold it. Undefined: it does not concern it alone. */
export function ofOne(error: unknown, { type }: Pick<FileRecord, "type">): "lost" | "not held" | undefined {
  if (isGone(error)) return "lost";
  const isRefused = failedWith(error, ...NOT_HELD) || (type === "symlink" && failedWith(error, ...NO_SYMLINKS));
  return isRefused ? "not held" : undefined;
}

/** On Windows, making one takes a privilege; FAT has none. */
const NO_SYMLINKS = ["EPERM", ...UNSUPPORTED] as const;
