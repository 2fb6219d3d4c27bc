/** What the bucket has of a file's attributes, made of what the disk shows. */
import type { FileRecord, Xattrs } from "../../format/files/record.ts";
import { newRecord, NO_XATTRS } from "../../format/files/record.ts";
import type { DiskStat } from "../disk/disk.ts";
import type { Seen } from "../known/seen.ts";

/** What of the disk's attributes counts. */
export interface Attention {
  /** The bits of modes. */
  readonly modeMask: number;
  /** Whether owners do: for root. */
  readonly owners: boolean;
}

export interface NewRecordOptions {
  readonly attention: Attention;
  /** Before the disk was looked at: its ctime. */
  readonly lookedNs: bigint;
}

/** The record of something that the bucket does not have yet. */
export function recordOfNew(
  { type, mode, uid, gid, mtimeNs }: DiskStat,
  xattrs: Xattrs,
  size: number,
  { attention, lookedNs }: NewRecordOptions,
): FileRecord {
  const permissions = type === "symlink" ? 0o777 : mode & attention.modeMask;
  const made = newRecord(type, { mode: permissions, uid, gid, timeNs: lookedNs });
  return { ...made, mtimeNs, size, xattrs: xattrs.size === 0 ? NO_XATTRS : xattrs };
}

/** What differs from how it was seen: a disk that cannot show a mode as it is in the bucket has not changed it. */
export function withAttributes(
  base: FileRecord,
  seen: Seen,
  stat: DiskStat,
  { modeMask, owners }: Attention,
): FileRecord {
  let record = base;
  const isOtherMode = ((stat.mode ^ seen.mode) & modeMask) !== 0;
  if (isOtherMode && stat.type !== "symlink")
    record = { ...record, mode: (base.mode & ~modeMask) | (stat.mode & modeMask) };
  if (owners && (stat.uid !== seen.uid || stat.gid !== seen.gid)) record = { ...record, uid: stat.uid, gid: stat.gid };
  // A directory's time follows its entries, and changes with them only.
  if (stat.mtimeNs !== seen.mtimeNs && stat.type !== "directory") record = { ...record, mtimeNs: stat.mtimeNs };
  return record;
}
