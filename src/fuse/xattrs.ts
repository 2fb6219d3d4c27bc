/** Extended attributes. */
import { ERRNO } from "../base/errno.ts";
import { ACCESS_ACL } from "../format/files/acl.ts";
import { isAcl } from "../vfs/acl.ts";
import { FsError } from "../vfs/filesystem.ts";
import { shownAcl, storedAcl } from "./acl-owners.ts";
import { dropSetGid } from "./attributes.ts";
import type { Exchange } from "./exchange.ts";
import { type HandlerEntry, changesInode, reads } from "./handler.ts";
import { OPCODE, SETXATTR_ACL_KILL_SGID } from "./protocol.ts";

/**
 * `ls -l` asks for it file by file, unless one answer says that the filesystem has none. Where SELinux is on, the kernel
 * answers instead.
 */
const LABEL = "security.selinux";

export const XATTR_HANDLERS: readonly HandlerEntry[] = [
  reads(OPCODE.GETXATTR, (fs, exchange) => {
    const name = checked(exchange);
    const value = fs.getXattr(exchange.node, name);
    if (value === undefined) exchange.error(name === LABEL ? ERRNO.EOPNOTSUPP : ERRNO.ENODATA);
    else answer(exchange, isAcl(name) ? shownAcl(exchange.owners, value) : value);
  }),
  reads(OPCODE.LISTXATTR, (fs, exchange) => {
    // As on a disk, only root sees attributes that others may not read; the request says nothing of CAP_SYS_ADMIN.
    const names = fs
      .listXattrs(exchange.node)
      .filter((name) => (exchange.isRoot || !name.startsWith("trusted.")) && (exchange.hasAcls || !isAcl(name)));
    answer(exchange, Buffer.from(names.map((name) => `${name}\0`).join(""), "latin1"));
  }),
  changesInode(OPCODE.SETXATTR, (fs, exchange) => {
    const name = checked(exchange);
    // A copy: the payload is gone after the batch, the filesystem keeps the value.
    const value = Buffer.from(exchange.payload(exchange.argument(2), exchange.argument(1)));
    fs.setXattr(exchange.node, name, isAcl(name) ? storedAcl(exchange.owners, value) : value, exchange.argument(0));
    if (name === ACCESS_ACL && exchange.argument(3) & SETXATTR_ACL_KILL_SGID) dropSetGid(fs, exchange.node);
    exchange.done();
  }),
  changesInode(OPCODE.REMOVEXATTR, (fs, exchange) => {
    fs.removeXattr(exchange.node, checked(exchange));
    exchange.done();
  }),
];

/** Refuses other namespaces, as a disk without them does, and access control lists that the kernel would not enforce. */
function checked(exchange: Exchange): string {
  const name = exchange.text(0);
  if (isAcl(name) && exchange.hasAcls) return name;
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
