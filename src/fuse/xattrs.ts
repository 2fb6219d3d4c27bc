/** Extended attributes. */
import { ERRNO } from "../base/errno.ts";
import { FsError } from "../vfs/filesystem.ts";
import type { Exchange } from "./exchange.ts";
import { type HandlerEntry, changesInode, reads } from "./handler.ts";
import { OPCODE } from "./protocol.ts";

export const XATTR_HANDLERS: readonly HandlerEntry[] = [
  reads(OPCODE.GETXATTR, (fs, exchange) => {
    const value = fs.getXattr(exchange.node, checked(exchange.text(0)));
    if (value === undefined) exchange.error(ERRNO.ENODATA);
    else answer(exchange, value);
  }),
  reads(OPCODE.LISTXATTR, (fs, exchange) => {
    // As on a disk, only root sees attributes that others may not read; the request says nothing of CAP_SYS_ADMIN.
    const names = fs
      .listXattrs(exchange.node)
      .filter((name) => exchange.caller.uid === 0 || !name.startsWith("trusted."));
    answer(exchange, Buffer.from(names.map((name) => `${name}\0`).join(""), "latin1"));
  }),
  changesInode(OPCODE.SETXATTR, (fs, exchange) => {
    const value = exchange.payload(exchange.argument(2), exchange.argument(1));
    // A copy: the payload is gone after the batch, the filesystem keeps the value.
    fs.setXattr(exchange.node, checked(exchange.text(0)), Buffer.from(value), exchange.argument(0));
    exchange.done();
  }),
  changesInode(OPCODE.REMOVEXATTR, (fs, exchange) => {
    fs.removeXattr(exchange.node, checked(exchange.text(0)));
    exchange.done();
  }),
];

/**
 * Refuses what a disk without them refuses: POSIX ACLs are not enforced yet (docs/design/fuse.md), so they are not stored,
 * and other namespaces do not exist.
 */
function checked(name: string): string {
  if (!/^(?:user|trusted|security)\./.test(name)) throw new FsError(ERRNO.EOPNOTSUPP, "no such xattr namespace");
  if (name.indexOf(".") === name.length - 1) throw new FsError(ERRNO.EINVAL, "no name after the namespace");
  return name;
}

/** Size 0 asks for the size of the value. */
function answer(exchange: Exchange, value: Uint8Array): void {
  const room = exchange.argument(0);
  if (room === 0) exchange.xattrSize(value.length);
  else if (value.length > room) exchange.error(ERRNO.ERANGE);
  else exchange.bytes(value);
}
