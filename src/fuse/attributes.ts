/** GETATTR, STATX, SETATTR and STATFS; and clearing set-id bits, which HANDLE_KILLPRIV_V2 leaves to the filesystem. */
import { ERRNO } from "../base/errno.ts";
import type { Ino } from "../base/ids.ts";
import type { AttributeChange, FileSystem } from "../vfs/filesystem.ts";
import type { Exchange } from "./exchange.ts";
import { type Handler, type HandlerEntry, changesInode, reads } from "./handler.ts";
import { FATTR, OPCODE } from "./protocol.ts";

const getAttributes: Handler = (fs, exchange) => exchange.attributes(fs.getAttributes(exchange.node));

export const ATTRIBUTE_HANDLERS: readonly HandlerEntry[] = [
  reads(OPCODE.GETATTR, getAttributes),
  // After ENOSYS the kernel does not ask again.
  reads(OPCODE.STATX, (fs, exchange, files) =>
    exchange.tellsBirths ? getAttributes(fs, exchange, files) : exchange.error(ERRNO.ENOSYS),
  ),
  reads(OPCODE.STATFS, (fs, exchange) => exchange.statFs(fs.statFs())),
  changesInode(OPCODE.SETATTR, (fs, exchange) => {
    exchange.attributes(fs.setAttributes(exchange.node, changeOf(fs, exchange)));
  }),
];

/**
 * Clears the set-uid bit, and set-gid where the group may execute, when a caller without CAP_FSETID changes the file: the
 * rule of the kernel's setattr_should_drop_suidgid (fs/attr.c).
 */
export function dropSetIds(fs: FileSystem, ino: Ino): void {
  const { mode } = fs.getAttributes(ino);
  const kept = withoutSetIds(mode);
  if (kept !== mode) fs.setAttributes(ino, { mode: kept & PERMISSIONS });
}

/** Clears set-gid. The kernel asks for this when somebody outside the group sets a list. */
export function dropSetGid(fs: FileSystem, ino: Ino): void {
  const { mode } = fs.getAttributes(ino);
  if (mode & SET_GID) fs.setAttributes(ino, { mode: mode & PERMISSIONS & ~SET_GID });
}

export function hasCapabilities(fs: FileSystem, ino: Ino): boolean {
  return fs.getXattr(ino, CAPABILITIES) !== undefined;
}

/** Drops file capabilities, as every change of the contents does (fs/inode.c, file_remove_privs). */
export function dropCapabilities(fs: FileSystem, ino: Ino): void {
  fs.removeXattr(ino, CAPABILITIES);
}

const CAPABILITIES = "security.capability";
const PERMISSIONS = 0o7777;
const TYPE = 0o170000;
const DIRECTORY = 0o040000;
const SET_UID = 0o4000;
const SET_GID = 0o2000;
const GROUP_EXECUTE = 0o010;

function withoutSetIds(mode: number): number {
  if ((mode & TYPE) === DIRECTORY) return mode;
  return mode & ~SET_UID & (mode & GROUP_EXECUTE ? ~SET_GID : ~0);
}

function changeOf(fs: FileSystem, exchange: Exchange): AttributeChange {
  const valid = exchange.argument(0);
  const change: { -readonly [Key in keyof AttributeChange]: AttributeChange[Key] } = {};
  if (valid & FATTR.MODE) change.mode = exchange.argument(1) & PERMISSIONS;
  const { uid, gid } = exchange.owner(exchange.argument(2), exchange.argument(3));
  if (valid & FATTR.UID) change.uid = uid;
  if (valid & FATTR.GID) change.gid = gid;
  if (valid & FATTR.SIZE) change.size = exchange.argument(4);
  if (valid & FATTR.ATIME) change.atimeNs = valid & FATTR.ATIME_NOW ? "now" : exchange.time(5);
  if (valid & FATTR.MTIME) change.mtimeNs = valid & FATTR.MTIME_NOW ? "now" : exchange.time(6);
  if (valid & FATTR.CTIME) change.ctimeNs = exchange.time(7);
  // chown always clears them (chown_common), truncate when told to. A request that sets nothing is chown with two -1.
  const isChown = (valid & (FATTR.UID | FATTR.GID)) !== 0 || Object.keys(change).length === 0;
  if ((isChown || valid & FATTR.KILL_SUIDGID) && !(valid & FATTR.MODE)) {
    const { mode } = fs.getAttributes(exchange.node);
    const kept = withoutSetIds(mode);
    if (kept !== mode) change.mode = kept & PERMISSIONS;
  }
  return change;
}
