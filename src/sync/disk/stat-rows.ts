/** Decodes the addon's rows of numbers about files (native/beneath_calls.h), and times. */
import { constants } from "node:fs";
import { heldInRange } from "../../base/nanoseconds.ts";
import type { FileType } from "../../format/files/record.ts";
import type { DiskStat } from "./disk.ts";

/** Numbers per row. */
export const COLUMNS = 15;

/** Decodes the row that begins at this index. */
export function statOf(rows: Float64Array, at: number): DiskStat {
  const column = (index: number) => rows[at + index] ?? 0;
  const time = (index: number) => heldInRange(BigInt(column(index)) * NS_PER_S + BigInt(column(index + 1)));
  const wide = (index: number) => (BigInt(column(index)) << 32n) | BigInt(column(index + 1));
  const type = TYPES.get(column(0) & constants.S_IFMT) ?? "block";
  return {
    type,
    mode: column(0) & 0o7777,
    uid: column(1),
    gid: column(2),
    size: type === "directory" ? 0 : column(3),
    mtimeNs: time(4),
    ctimeNs: time(6),
    birthNs: time(8),
    ino: wide(10),
    dev: wide(12),
    links: column(14),
    isMounted: column(0) >= MOUNTED,
  };
}

/** Added to the mode of the root of a mount. */
const MOUNTED = 0x10000;

/** Seconds and nanoseconds. */
export function timeOf(timeNs: bigint): [number, number] {
  const nanoseconds = ((timeNs % NS_PER_S) + NS_PER_S) % NS_PER_S;
  return [Number((timeNs - nanoseconds) / NS_PER_S), Number(nanoseconds)];
}

const TYPES = new Map<number, FileType>([
  [constants.S_IFREG, "file"],
  [constants.S_IFDIR, "directory"],
  [constants.S_IFLNK, "symlink"],
  [constants.S_IFIFO, "fifo"],
  [constants.S_IFSOCK, "socket"],
  [constants.S_IFCHR, "char"],
  [constants.S_IFBLK, "block"],
]);
const NS_PER_S = 1_000_000_000n;
