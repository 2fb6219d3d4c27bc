/** Requests about names: looking up, creating, linking, removing and renaming. */
import { ERRNO } from "../base/errno.ts";
import type { Ino } from "../base/ids.ts";
import { FsError, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT } from "../vfs/filesystem.ts";
import { type Handler, type HandlerEntry, changesNames, reads } from "./handler.ts";
import { OPCODE } from "./protocol.ts";
import { constants } from "node:fs";
import { used } from "./writes.ts";

const lookup: Handler = (fs, exchange) => {
  const found = fs.lookup(exchange.node, exchange.name());
  if (found === undefined) exchange.noEntry();
  else exchange.entry(found);
};

/** open(2) with O_CREAT, when the kernel knows no such name. */
const create: Handler = (fs, exchange, openFiles) => {
  const { node, maker } = exchange;
  try {
    const name = exchange.name();
    const made = fs.makeNode(node, name, S_IFREG | (exchange.argument(0) & PERMISSIONS), 0, maker);
    exchange.created(
      made,
      openFiles.create(exchange.unique, made.ino, node, name, used(fs, made.ino, exchange.argument(1))),
    );
  } catch (error) {
    const exclusive = (exchange.argument(1) & constants.O_EXCL) !== 0;
    if (exclusive || !(error instanceof FsError) || error.errno !== ERRNO.EEXIST) throw error;
    // The name appeared meanwhile. ESTALE makes the kernel look it up again and open it with all its checks.
    throw new FsError(ERRNO.ESTALE, "the name exists now");
  }
};

const createUnnamed: Handler = (fs, exchange, openFiles) => {
  const made = fs.makeUnnamed(exchange.node, S_IFREG | (exchange.argument(0) & PERMISSIONS), exchange.maker);
  exchange.created(made, openFiles.open(exchange.unique, made.ino, used(fs, made.ino, exchange.argument(1))));
};

const rename: Handler = (fs, exchange) => {
  const flags = exchange.argument(1);
  if (flags & ~RENAME_FLAGS) throw new FsError(ERRNO.EINVAL, "unsupported rename flags");
  const { node, caller } = exchange;
  fs.rename(node, exchange.name(0), exchange.argument(0) as Ino, exchange.name(1), flags, caller);
  exchange.done();
};

const RENAME_FLAGS = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;

export const NAME_HANDLERS: readonly HandlerEntry[] = [
  reads(OPCODE.LOOKUP, lookup),
  reads(OPCODE.READLINK, (fs, exchange) => exchange.bytes(Buffer.from(fs.readSymlink(exchange.node), "latin1"))),
  changesNames(OPCODE.CREATE, create),
  changesNames(OPCODE.TMPFILE, createUnnamed),
  changesNames(OPCODE.MKNOD, (fs, exchange) => {
    const { node, maker } = exchange;
    exchange.entry(fs.makeNode(node, exchange.name(), exchange.argument(0), exchange.argument(1), maker));
  }),
  changesNames(OPCODE.MKDIR, (fs, exchange) => {
    const { node, maker } = exchange;
    exchange.entry(fs.makeDirectory(node, exchange.name(), S_IFDIR | (exchange.argument(0) & PERMISSIONS), maker));
  }),
  changesNames(OPCODE.SYMLINK, (fs, exchange) => {
    exchange.entry(fs.makeSymlink(exchange.node, exchange.name(), exchange.text(1), exchange.caller));
  }),
  changesNames(OPCODE.LINK, (fs, exchange) => {
    exchange.entry(fs.link(exchange.argument(0) as Ino, exchange.node, exchange.name()));
  }),
  changesNames(OPCODE.UNLINK, (fs, exchange) => {
    fs.unlink(exchange.node, exchange.name());
    exchange.done();
  }),
  changesNames(OPCODE.RMDIR, (fs, exchange) => {
    fs.removeDirectory(exchange.node, exchange.name());
    exchange.done();
  }),
  changesNames(OPCODE.RENAME2, rename),
];

const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const PERMISSIONS = 0o7777;
