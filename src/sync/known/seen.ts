/** How an object looked on the disk when last synced, for comparison with its current look. */
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
  /** Hash of its extended attributes; "" if it has none. */
  readonly xattrs: string;
  /** Looked at so soon after its last change that another change could have the same times: must be read again. */
  readonly hasty: boolean;
}

/** `nowNs` is the time of the look, or earlier. */
export function seenOf(stat: DiskStat, xattrs: string, nowNs: bigint): Seen {
  const { ino, birthNs, mode, uid, gid, size, mtimeNs, ctimeNs } = stat;
  return { ino, birthNs, mode, uid, gid, size, mtimeNs, ctimeNs, xattrs, hasty: isHasty(stat, nowNs) };
}

/** Whether it is certainly unchanged since. */
export function isUntouched(seen: Seen, stat: DiskStat): boolean {
  return !seen.hasty && looksSame(seen, stat);
}

/** Whether it is the same inode with the same size and times. */
export function looksSame(seen: Seen, stat: DiskStat): boolean {
  return seen.ino === stat.ino && seen.ctimeNs === stat.ctimeNs && hasSameBytes(seen, stat);
}

/** Compares size and mtime only: a rename changes the ctime. */
export function hasSameBytes(seen: Pick<Seen, "size" | "mtimeNs">, stat: DiskStat): boolean {
  return seen.size === stat.size && seen.mtimeNs === stat.mtimeNs;
}

/** A rename changes the ctime. After any other change the old look stays, so that the next scan sees it. */
export function seenAfterRename(seen: Seen, now: DiskStat | undefined, nowNs: bigint): Seen {
  if (now?.ino !== seen.ino || now.type === "directory" || !hasSameBytes(seen, now)) return seen;
  const hasSameAttributes = now.mode === seen.mode && now.uid === seen.uid && now.gid === seen.gid;
  return hasSameAttributes ? seenOf(now, seen.xattrs, nowNs) : seen;
}

/**
 * Whether this is the same inode, not a later one that reuses its number. If the filesystem does not tell when an inode was
 * made, size and mtime must be the same.
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

/** The kernel's file clock ticks at least every 10 ms; some filesystems have a resolution of one or two seconds. */
const TICK_NS = 50_000_000n;
const COARSE_NS = 2_500_000_000n;
const SECOND_NS = 1_000_000_000n;

/**
 * A write sets mtime and ctime to the same time, so it stays unseen only if both are still current. A program that then sets
 * the mtime back (`cp -p`) hides the write if it does both within one tick: that takes a coarse one.
 */
function isHasty(stat: DiskStat, nowNs: bigint): boolean {
  const { mtimeNs, ctimeNs } = stat;
  const tickNs = tickOf(stat);
  const apartNs = mtimeNs > ctimeNs ? mtimeNs - ctimeNs : ctimeNs - mtimeNs;
  return nowNs - ctimeNs < tickNs && (apartNs < tickNs || tickNs === COARSE_NS);
}

/** Whether names in a directory can change after `nowNs` without a change of its times. */
export function mayKeepTimes(directory: DiskStat, nowNs: bigint): boolean {
  const { mtimeNs, ctimeNs } = directory;
  // A change of names sets both to the present.
  return nowNs - (mtimeNs < ctimeNs ? mtimeNs : ctimeNs) < tickOf(directory);
}

function tickOf({ mtimeNs, ctimeNs }: DiskStat): bigint {
  return mtimeNs % SECOND_NS === 0n && ctimeNs % SECOND_NS === 0n ? COARSE_NS : TICK_NS;
}

/** Fixed width: the database does not need to know the content. */
export function encodeSeen(seen: Seen): Buffer {
  return Buffer.from(encoded(seen));
}

export function seenAsText(seen: Seen): string {
  return encoded(seen).toString("base64");
}

/** Throws `state_corrupt` if it is too short. */
export function decodeSeen(buffer: Buffer): Seen {
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

/** The buffer is shared: read it before encoding the next. */
function encoded({ ino, birthNs, mtimeNs, ctimeNs, mode, uid, gid, size, xattrs, hasty }: Seen): Buffer {
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
