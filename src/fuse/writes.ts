/** What WRITE requests ask for beside their bytes. */
import { constants } from "node:fs";
import type { Ino } from "../base/ids.ts";
import type { FileSystem } from "../vfs/filesystem.ts";
import type { Exchange } from "./exchange.ts";
import type { Later } from "./handler.ts";
import { OPCODE, WRITE_CACHE } from "./protocol.ts";

/** `flags`: those of open(2). */
export function isForWriting(flags: number): boolean {
  return (flags & ACCESS_MODE) !== constants.O_RDONLY;
}

const ACCESS_MODE = constants.O_RDONLY | constants.O_WRONLY | constants.O_RDWR;

/**
 * Whether a program that opens a file with these flags depends on the version that it finds: because it runs it, or may write
 * in place. Appended bytes do not depend on what comes before them.
 */
function needsVersion(flags: number): boolean {
  if ((flags & FMODE_EXEC) !== 0) return true;
  return isForWriting(flags) && (flags & constants.O_APPEND) === 0;
}

/** The kernel sets it for execve(2): __FMODE_EXEC in its include/linux/fs.h. */
const FMODE_EXEC = 0x20;

/** Call this when a file is opened. Holds its version if these flags need that, and returns whether they do. */
export function heldByOpen(fs: FileSystem, ino: Ino, flags: number): boolean {
  const isHeld = needsVersion(flags);
  if (isHeld) fs.holdVersion(ino);
  return isHeld;
}

/** Whether it writes at the end as we know it: the kernel's may be older. Writes from the page cache have their offset. */
export function isAppend(exchange: Exchange): boolean {
  if (exchange.opcode !== OPCODE.WRITE) return false;
  return (exchange.argument(4) & constants.O_APPEND) !== 0 && (exchange.argument(2) & WRITE_CACHE) === 0;
}

/**
 * Answers a WRITE that is done. After an O_DSYNC write past its page cache, the kernel sends no FSYNC: it is made durable here.
 */
export function counted(fs: FileSystem, exchange: Exchange): void | Later {
  const length = exchange.argument(1);
  const isSynced = (exchange.argument(4) & constants.O_DSYNC) !== 0;
  if (isSynced && !(exchange.isAlone && fs.fsyncNow(exchange.node))) return fs.fsync(exchange.node).then(() => length);
  exchange.count(length);
}
