/** Requests about file contents: open, read, write, allocate, seek, copy, sync, close. */
import { ERRNO } from "../base/errno.ts";
import type { Ino } from "../base/ids.ts";
import { FsError } from "../vfs/filesystem.ts";
import { dropCapabilities, dropSetIds, hasCapabilities } from "./attributes.ts";
import { addsBytes, type Handler, type HandlerEntry, mutates, reads } from "./handler.ts";
import { MAX_WRITE_BYTES, OPCODE, WRITE_CACHE, WRITE_KILL_SUIDGID } from "./protocol.ts";
import { counted, isAppend, isForWriting, used } from "./writes.ts";

const open: Handler = (fs, exchange, openFiles) => {
  // A removed file answers ESTALE here, where the kernel looks its name up again, and not at the first read.
  fs.getAttributes(exchange.node);
  const flags = exchange.argument(0);
  if (isForWriting(flags)) fs.checkWritable?.(exchange.node);
  exchange.opened(openFiles.open(exchange.unique, exchange.node, used(fs, exchange.node, flags)));
};

const release: Handler = (fs, exchange, openFiles) => {
  const flags = exchange.argument(0);
  if (openFiles.release(exchange.node, exchange.argument(1))) fs.releaseVersion(exchange.node);
  if (isForWriting(flags)) fs.closed(exchange.node);
  exchange.done();
};

const read: Handler = (fs, exchange, openFiles) => {
  openFiles.passing.read(exchange.node);
  const length = Math.min(exchange.argument(1), MAX_WRITE_BYTES);
  exchange.data(fs.read(exchange.node, exchange.argument(0), length, exchange.space(length)));
};

const write: Handler = (fs, exchange, openFiles) => {
  const ino = exchange.node;
  const asked = exchange.argument(0);
  const length = exchange.argument(1);
  const flags = exchange.argument(2);
  if (flags & WRITE_CACHE) openFiles.writeBacks++;
  if (flags & WRITE_KILL_SUIDGID) dropSetIds(fs, ino);
  // With the page cache in between, the kernel drops them.
  const dropsCapabilities = openFiles.passing.has(ino) && hasCapabilities(fs, ino);
  // The kernel appends at the end that it knows; others may have moved the end, and their bytes stay.
  const offset = isAppend(exchange) ? fs.getAttributes(ino).size : asked;
  fs.write(ino, offset, exchange.payload(exchange.argument(3), length));
  if (openFiles.isUnlisted(ino, exchange.argument(5))) fs.holdVersion(ino);
  // Only now: a request counts as executed from its first change on, and a write may have to wait for room.
  if (dropsCapabilities) dropCapabilities(fs, ino);
  if (offset !== asked) openFiles.misplaced(ino);
  return counted(fs, exchange);
};

const allocate: Handler = (fs, exchange) => {
  fs.allocate(exchange.node, exchange.argument(0), exchange.argument(1), exchange.argument(2));
  // The request does not say whether its caller has CAP_FSETID; root usually has.
  if (!exchange.isRoot) dropSetIds(fs, exchange.node);
  exchange.done();
};

const seek: Handler = (fs, exchange) => {
  const whence = exchange.argument(1);
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw new FsError(ERRNO.EINVAL, "whence");
  exchange.position(fs.seek(exchange.node, exchange.argument(0), whence === SEEK_DATA ? "data" : "hole"));
};

const copyRange: Handler = (fs, exchange) => {
  const to = exchange.argument(1) as Ino;
  const length = Math.min(exchange.argument(3), MAX_COPY_BYTES);
  const copied = fs.copyRange(exchange.node, exchange.argument(0), to, exchange.argument(2), length);
  if (!exchange.isRoot) dropSetIds(fs, to);
  exchange.count(copied);
};

const sync: Handler = (fs, exchange, openFiles) => {
  if (exchange.opcode === OPCODE.FSYNC) openFiles.passing.synced(exchange.node);
  // A flush is often quicker than handing it to another thread and back; no other request may wait meanwhile.
  if (!exchange.isAlone || !fs.fsyncNow(exchange.node)) return fs.fsync(exchange.node);
  exchange.done();
  return undefined;
};

export const CONTENT_HANDLERS: readonly HandlerEntry[] = [
  reads(OPCODE.OPEN, open),
  mutates(OPCODE.RELEASE, release),
  reads(OPCODE.READ, read),
  addsBytes(OPCODE.WRITE, write),
  mutates(OPCODE.FALLOCATE, allocate),
  reads(OPCODE.LSEEK, seek),
  mutates(OPCODE.COPY_FILE_RANGE, copyRange),
  mutates(OPCODE.FSYNC, sync),
  mutates(OPCODE.FSYNCDIR, sync),
  mutates(OPCODE.SYNCFS, sync),
];

/** lseek(2); Node has no names for them. */
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** Most bytes per call, so that others get their turn; programs call again for the rest. */
const MAX_COPY_BYTES = 8 << 20;
