/** What WRITE requests ask for beside their bytes. */
import { constants } from "node:fs";
import type { Ino } from "../base/ids.ts";
import type { FileSystem } from "../vfs/filesystem.ts";
import type { Exchange } from "./exchange.ts";
import type { Later } from "./handler.ts";
import type { Use } from "./open-table.ts";
import { OPCODE, WRITE_CACHE } from "./protocol.ts";

/** `flags`: those of open(2). */
export function isForWriting(flags: number): boolean {
  return (flags & ACCESS_MODE) !== constants.O_RDONLY;
}

const ACCESS_MODE = constants.O_RDONLY | constants.O_WRONLY | constants.O_RDWR;

/** `flags`: those of open(2). Appended bytes do not depend on what comes before them. */
function useOf(flags: number): Use {
  if (!isForWriting(flags)) return "read";
  return (flags & constants.O_APPEND) === 0 ? "hold" : "append";
}

/** Call this when a file is opened with these flags: holds its version, if the program may write on top of it. */
export function used(fs: FileSystem, ino: Ino, flags: number): Use {
  const use = useOf(flags);
  if (use === "hold") fs.holdVersion(ino);
  return use;
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
