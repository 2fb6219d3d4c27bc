/** How an object looked on the disk when it was synced last: what a later look is compared with. */
import { blake3 } from "../../crypto/hash.ts";
import { encodeXattrs } from "../../format/blocks/linked-value.ts";
import type { Xattrs } from "../../format/files/record.ts";
import type { DiskStat } from "../disk/disk.ts";
import { damagedState } from "./damaged.ts";

export interface Seen {
  readonly ino: bigint;
  readonly birthNs: bigint;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  /** Hash of its extended attributes; "" when it has none. */
  readonly xattrs: string;
  /** Looked at so soon after its last change that another one could have the same times: to be read again. */
  readonly hasty: boolean;
}

/** `nowNs` is the time of the look, or before it. */
export function seenOf(stat: DiskStat, xattrs: string, nowNs: bigint): Seen {
  const { ino, birthNs, mode, uid, gid, size, mtimeNs, ctimeNs } = stat;
  return { ino, birthNs, mode, uid, gid, size, mtimeNs, ctimeNs, xattrs, hasty: isHasty(stat, nowNs) };
}

/** Whether nothing can have happened to it since. */
export function isUntouched(seen: Seen, stat: DiskStat): boolean {
  return !seen.hasty && looksSame(seen, stat);
}

/** Whether it is the same inode with the same size and times. */
export function looksSame(seen: Seen, stat: DiskStat): boolean {
  return seen.ino === stat.ino && seen.ctimeNs === stat.ctimeNs && hasSameBytes(seen, stat);
}

/** As far as size and mtime tell: a rename changes the ctime. */
export function hasSameBytes(seen: Pick<Seen, "size" | "mtimeNs">, stat: DiskStat): boolean {
  return seen.size === stat.size && seen.mtimeNs === stat.mtimeNs;
}

/**
 * Whether this is the very inode, and no later one that was given its number. Where the filesystem does not tell when an inode was
 * made, it must have its size and mtime still.
 */
export function isSameInode(seen: Seen, stat: DiskStat): boolean {
  if (seen.ino !== stat.ino) return false;
  const tells = seen.birthNs !== 0n && seen.birthNs === stat.birthNs;
  return tells || hasSameBytes(seen, stat);
}

export function digestOfXattrs(xattrs: Xattrs): string {
  if (xattrs.size === 0) return "";
  return Buffer.from(blake3(encodeXattrs(xattrs))).toString("hex", 0, 16);
}

/** The kernel's clock for files ticks every 10 ms at the slowest; some filesystems count seconds, or two at a time. */
const TICK_NS = 50_000_000n;
const COARSE_NS = 2_500_000_000n;
const SECOND_NS = 1_000_000_000n;

/** A write sets mtime and ctime to one time: only if both are what they would become again is it not seen. */
function isHasty({ mtimeNs, ctimeNs }: DiskStat, nowNs: bigint): boolean {
  const isCoarse = mtimeNs % SECOND_NS === 0n && ctimeNs % SECOND_NS === 0n;
  const tickNs = isCoarse ? COARSE_NS : TICK_NS;
  const apartNs = mtimeNs > ctimeNs ? mtimeNs - ctimeNs : ctimeNs - mtimeNs;
  return nowNs - ctimeNs < tickNs && apartNs < tickNs;
}

/** Fixed width, so that the database need not know what is in it. */
export function packSeen(seen: Seen): Buffer {
  return Buffer.from(packed(seen));
}

export function packSeenAsText(seen: Seen): string {
  return packed(seen).toString("base64");
}

/** Throws `state_corrupt` where it is shorter than what was packed. */
export function unpackSeen(buffer: Buffer): Seen {
  if (buffer.length < FIXED_BYTES) throw damagedState();
  scratch.set(buffer.subarray(0, FIXED_BYTES));
  return {
    ino: view.getBigUint64(0, true),
    birthNs: view.getBigInt64(8, true),
    mtimeNs: view.getBigInt64(16, true),
    ctimeNs: view.getBigInt64(24, true),
    mode: view.getFloat64(32, true),
    uid: view.getFloat64(40, true),
    gid: view.getFloat64(48, true),
    size: view.getFloat64(56, true),
    hasty: view.getFloat64(64, true) === 1,
    xattrs: buffer.length === FIXED_BYTES ? "" : buffer.toString("latin1", FIXED_BYTES),
  };
}

/** Shared: to be read before the next one is packed. */
function packed({ ino, birthNs, mtimeNs, ctimeNs, mode, uid, gid, size, xattrs, hasty }: Seen): Buffer {
  view.setBigUint64(0, ino, true);
  view.setBigInt64(8, birthNs, true);
  view.setBigInt64(16, mtimeNs, true);
  view.setBigInt64(24, ctimeNs, true);
  view.setFloat64(32, mode, true);
  view.setFloat64(40, uid, true);
  view.setFloat64(48, gid, true);
  view.setFloat64(56, size, true);
  view.setFloat64(64, hasty ? 1 : 0, true);
  if (xattrs === "") return fixed;
  return Buffer.concat([fixed, Buffer.from(xattrs, "latin1")]);
}

const FIXED_BYTES = 4 * 8 + 5 * 8;
const scratch = new Uint8Array(FIXED_BYTES);
const view = new DataView(scratch.buffer);
const fixed = Buffer.from(scratch.buffer);
