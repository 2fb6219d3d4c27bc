/** What WRITE requests ask for beside their bytes. */
import { constants } from "node:fs";
import type { FileSystem } from "../vfs/filesystem.ts";
import type { Exchange } from "./exchange.ts";
import type { Later } from "./handler.ts";
import { OPCODE, WRITE_CACHE } from "./protocol.ts";

/** By the flags of open(2). */
export function isForWriting(flags: number): boolean {
  return (flags & ACCESS_MODE) !== constants.O_RDONLY;
}

const ACCESS_MODE = constants.O_RDONLY | constants.O_WRONLY | constants.O_RDWR;

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
