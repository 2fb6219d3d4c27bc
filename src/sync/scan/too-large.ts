/** What no bucket can hold: it stays in the folder as it is, and keeps nothing else back. */
import { MAX_FILE_BYTES, MAX_NAME_BYTES } from "../../base/limits.ts";
import type { DiskEntry } from "../disk/disk.ts";

export type TooLarge = "name too long" | "too large";

/** Disks that count characters have names of up to 765 bytes, and sparse files may be of any size. */
export function tooLarge({ name, stat }: DiskEntry): TooLarge | undefined {
  if (name.length > MAX_NAME_BYTES) return "name too long";
  return stat.type === "file" && stat.size > MAX_FILE_BYTES ? "too large" : undefined;
}
