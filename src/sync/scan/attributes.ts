/** Makes a file's attributes for the bucket from what the disk shows. */
import type { FileRecord, Xattrs } from "../../format/files/record.ts";
import { newRecord, NO_XATTRS } from "../../format/files/record.ts";
import { unless } from "../../base/unless.ts";
import type { DiskPath, DiskStat, SyncDisk } from "../disk/disk.ts";
import { changedMode, usualMode } from "../disk/windows-modes.ts";
import type { Seen } from "../known/seen.ts";
import { isUnreadable } from "./local-content.ts";

/** Which of the disk's attributes count. */
export interface Attention {
  /** The mode bits that count. */
  readonly modeMask: number;
  /** Whether owners count: for root. */
  readonly owners: boolean;
  /** The disk's modes only tell what is read-only (windows-modes.ts). */
  readonly onlyReadOnly?: boolean;
}

export interface NewRecordOptions {
  readonly attention: Attention;
  /** The time before the scan, used as ctime. */
  readonly lookedNs: bigint;
}

/** The record of an object that is not in the bucket yet. */
export function recordOfNew(
  { type, mode, uid, gid, mtimeNs }: DiskStat,
  xattrs: Xattrs,
  size: number,
  { attention, lookedNs }: NewRecordOptions,
): FileRecord {
  const shown = attention.onlyReadOnly === true ? usualMode(type, mode) : mode & attention.modeMask;
  const permissions = type === "symlink" ? 0o777 : shown;
  const made = newRecord(type, { mode: permissions, uid, gid, timeNs: lookedNs });
  return { ...made, mtimeNs, size, xattrs: xattrs.size === 0 ? NO_XATTRS : xattrs };
}

/**
 * A file's stat, with the group's rights in place of an access list's mask: lists are not synced, so their masks must not be.
 * Asks the disk only about new files, and about modes whose group bits changed. Throws as the disk does.
 */
export async function statWithoutList(
  disk: SyncDisk,
  { path, stat }: { readonly path: DiskPath; readonly stat: DiskStat },
  seen: Seen | undefined,
): Promise<DiskStat> {
  const isAsSeen = seen !== undefined && ((stat.mode ^ seen.mode) & 0o070) === 0;
  // A directory whose path is too long, for instance, is reported once it is listed.
  const mayFail = (error: unknown) => stat.type === "directory" && isUnreadable(error);
  const rights =
    isAsSeen || stat.type === "symlink" ? undefined : await unless(mayFail, async () => disk.groupRights?.(path));
  return rights === undefined ? stat : { ...stat, mode: (stat.mode & ~0o070) | (rights << 3) };
}

/** Applies what differs from the last look: a disk that cannot show the bucket's mode has not changed it. */
export function withAttributes(
  base: FileRecord,
  seen: Seen,
  stat: DiskStat,
  { modeMask, owners, onlyReadOnly }: Attention,
): FileRecord {
  let record = base;
  const isOtherMode = ((stat.mode ^ seen.mode) & modeMask) !== 0;
  // The group's bits may be an access list's mask, here or in the bucket: they stay unless they were changed.
  const mask = ((stat.mode ^ seen.mode) & 0o070) === 0 ? modeMask & ~0o070 : modeMask;
  const shown = (base.mode & ~mask) | (stat.mode & mask);
  const mode = onlyReadOnly === true ? changedMode(stat.type, base.mode, seen.mode, stat.mode) : shown;
  if (isOtherMode && stat.type !== "symlink" && mode !== base.mode) record = { ...record, mode };
  if (owners && (stat.uid !== seen.uid || stat.gid !== seen.gid)) record = { ...record, uid: stat.uid, gid: stat.gid };
  // A directory's mtime follows its entries, and changes only with them.
  if (stat.mtimeNs !== seen.mtimeNs && stat.type !== "directory") record = { ...record, mtimeNs: stat.mtimeNs };
  return record;
}
