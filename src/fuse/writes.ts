/** What WRITE requests ask for beside their bytes. */
import { constants } from "node:fs";
import type { Ino } from "../base/ids.ts";
import type { FileSystem } from "../vfs/filesystem.ts";
import type { Exchange } from "./exchange.ts";
import type { Later } from "./handler.ts";
import { OPCODE, WRITE_CACHE } from "./protocol.ts";

/** By the flags of open(2). */
export function isForWriting(flags: number): boolean {
  return (flags & ACCESS_MODE) !== constants.O_RDONLY;
}

const ACCESS_MODE = constants.O_RDONLY | constants.O_WRONLY | constants.O_RDWR;

/**
 * Whether who has opened a file with these flags goes on with the version that was there: a program that may write in place
 * (bytes that are appended depend on none before them), or one that runs.
 */
function needsVersion(flags: number): boolean {
  if ((flags & FMODE_EXEC) !== 0) return true;
  return isForWriting(flags) && (flags & constants.O_APPEND) === 0;
}

/** The kernel's own flag, for execve(2) (__FMODE_EXEC in include/linux/fs.h). */
const FMODE_EXEC = 0x20;

/** To be called when a file is opened. Returns whether its version is held. */
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
