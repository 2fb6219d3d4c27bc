/**
 * A filesystem in memory with plain POSIX semantics, to test and measure the FUSE door without the real filesystem.
 *
 * `faults` lets a test simulate what the real one meets: missing blocks, a journal that cannot be written.
 */
import { ERRNO } from "../../src/base/errno.ts";
import type { Cid, FileName, Ino } from "../../src/base/ids.ts";
import type { StorageSpace } from "../../src/overlay/disk/storage.ts";
import {
  type AttributeChange,
  type Attributes,
  type Caller,
  type DirectoryEntry,
  FALLOC_KEEP_SIZE,
  FALLOC_PUNCH_HOLE,
  FALLOC_ZERO_RANGE,
  type FileSystem,
  FsError,
  type ListedEntry,
  type Listing,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
} from "../../src/vfs/filesystem.ts";
import { ACCESS_ACL } from "../../src/format/files/acl.ts";
import { impliedMode, parseAcl } from "../../src/vfs/acl.ts";
import { PagedBytes } from "./paged-bytes.ts";

export interface Faults {
  /** Called before every call on an inode; may throw BlockMiss. */
  touch(ino: Ino): void;
  persist(): void;
  load(cids: readonly Cid[], signal?: AbortSignal): Promise<void>;
  /** Awaited by each fsync. */
  sync(): Promise<void>;
  /** Resolves when a call that changes another object may begin; undefined: at once. */
  throttle(): Promise<void> | undefined;
}

export class MemoryFileSystem implements FileSystem {
  readonly faults: Faults = {
    touch: () => {},
    persist: () => {},
    load: async () => {},
    sync: async () => {},
    throttle: () => undefined,
  };
  /** None are kept: this filesystem ends with its process. */
  readonly answers = { request: 0, of: () => undefined, keep: () => {}, answered: () => {}, forget: () => {} };
  readonly #nowNs: () => bigint;
  readonly #inodes = new Map<Ino, Inode>();
  #nextIno = 2;
  #orphaned: (ino: Ino) => void = () => {};

  constructor(nowNs: () => bigint) {
    this.#nowNs = nowNs;
    const root = new Inode(1 as Ino, S_IFDIR | 0o755, { uid: 0, gid: 0 }, nowNs());
    root.parent = root.ino;
    this.#inodes.set(root.ino, root);
  }

  /** The number of inodes, the root included. */
  get inodeCount(): number {
    return this.#inodes.size;
  }

  /** The number of inodes without a name, which the kernel still holds. */
  get orphanCount(): number {
    return [...this.#inodes.values()].filter(({ nlink }) => nlink === 0).length;
  }

  lookup(parent: Ino, name: FileName): Attributes | undefined {
    const ino = this.#directory(parent).children?.get(name)?.ino;
    return ino === undefined ? undefined : this.#get(ino).attributes();
  }

  getAttributes(ino: Ino): Attributes {
    return this.#get(ino).attributes();
  }

  setAttributes(ino: Ino, change: AttributeChange): Attributes {
    const inode = this.#get(ino);
    const now = this.#nowNs();
    if (change.mode !== undefined) inode.mode = (inode.mode & S_IFMT) | (change.mode & ~S_IFMT);
    if (change.uid !== undefined) inode.uid = change.uid;
    if (change.gid !== undefined) inode.gid = change.gid;
    if (change.size !== undefined) {
      inode.bytes.resize(change.size);
      inode.mtimeNs = now;
    }
    if (change.atimeNs !== undefined) inode.atimeNs = change.atimeNs === "now" ? now : change.atimeNs;
    if (change.mtimeNs !== undefined) inode.mtimeNs = change.mtimeNs === "now" ? now : change.mtimeNs;
    inode.ctimeNs = change.ctimeNs ?? now;
    return inode.attributes();
  }

  makeNode(parent: Ino, name: FileName, mode: number, rdev: number, caller: Caller): Attributes {
    const inode = this.#make(parent, name, mode, caller);
    inode.rdev = rdev;
    return inode.attributes();
  }

  makeDirectory(parent: Ino, name: FileName, mode: number, caller: Caller): Attributes {
    return this.#make(parent, name, (mode & ~S_IFMT) | S_IFDIR, caller).attributes();
  }

  makeSymlink(parent: Ino, name: FileName, target: string, caller: Caller): Attributes {
    const inode = this.#make(parent, name, S_IFLNK | 0o777, { ...caller, umask: 0 });
    inode.target = target;
    return inode.attributes();
  }

  makeUnnamed(parent: Ino, mode: number, caller: Caller): Attributes {
    const inode = this.#born(this.#directory(parent), mode, caller);
    inode.nlink = 0;
    this.#orphaned(inode.ino);
    return inode.attributes();
  }

  link(ino: Ino, parent: Ino, name: FileName): Attributes {
    const directory = this.#directory(parent);
    const inode = this.#get(ino);
    if (inode.children !== undefined) throw new FsError(ERRNO.EPERM, "a directory has one name");
    this.#put(directory, name, inode);
    inode.nlink++;
    inode.ctimeNs = this.#nowNs();
    return inode.attributes();
  }

  unlink(parent: Ino, name: FileName): void {
    const directory = this.#directory(parent);
    const inode = this.#child(directory, name);
    if (inode.children !== undefined) throw new FsError(ERRNO.EISDIR, "is a directory");
    this.#take(directory, name);
    this.#dropName(inode);
  }

  removeDirectory(parent: Ino, name: FileName): void {
    const directory = this.#directory(parent);
    const inode = this.#child(directory, name);
    if (inode.children === undefined) throw new FsError(ERRNO.ENOTDIR, "not a directory");
    if (inode.children.size > 0) throw new FsError(ERRNO.ENOTEMPTY, "not empty");
    this.#take(directory, name);
    this.#dropName(inode);
  }

  rename(
    parent: Ino,
    name: FileName,
    newParent: Ino,
    newName: FileName,
    flags: number,
    caller: Caller = { uid: 0, gid: 0 },
  ): void {
    const from = this.#directory(parent);
    const to = this.#directory(newParent);
    const inode = this.#child(from, name);
    const there = to.children?.get(newName);
    const replaced = there === undefined ? undefined : this.#get(there.ino);
    if (flags & RENAME_NOREPLACE && replaced !== undefined) throw new FsError(ERRNO.EEXIST, "exists");
    if (flags & RENAME_EXCHANGE) {
      if (replaced === undefined) throw new FsError(ERRNO.ENOENT, "nothing to exchange with");
      this.#take(from, name);
      this.#take(to, newName);
      this.#put(to, newName, inode);
      this.#put(from, name, replaced);
      replaced.ctimeNs = this.#nowNs();
    } else {
      if (replaced === inode) return;
      if (replaced?.children !== undefined && replaced.children.size > 0)
        throw new FsError(ERRNO.ENOTEMPTY, "not empty");
      if (replaced !== undefined) this.#take(to, newName);
      this.#take(from, name);
      this.#put(to, newName, inode);
      if (replaced !== undefined) this.#dropName(replaced);
      if (flags & RENAME_WHITEOUT) this.#make(parent, name, S_IFCHR, caller);
    }
    inode.ctimeNs = this.#nowNs();
  }

  readSymlink(ino: Ino): string {
    return this.#get(ino).target;
  }

  readUncached(ino: Ino, offset: number, target: Uint8Array): number {
    return this.read(ino, offset, target.length, target);
  }

  read(ino: Ino, offset: number, length: number, target: Uint8Array): number {
    return this.#get(ino).bytes.read(offset, target.subarray(0, length));
  }

  write(ino: Ino, offset: number, bytes: Uint8Array): void {
    const inode = this.#get(ino);
    inode.bytes.write(offset, bytes);
    inode.mtimeNs = inode.ctimeNs = this.#nowNs();
  }

  allocate(ino: Ino, mode: number, offset: number, length: number): void {
    const inode = this.#get(ino);
    const known = FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE;
    if (mode & ~known) throw new FsError(ERRNO.EOPNOTSUPP, "fallocate mode");
    if (mode & (FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) inode.bytes.clear(offset, length);
    if (!(mode & FALLOC_KEEP_SIZE)) inode.bytes.resize(Math.max(inode.bytes.size, offset + length));
    inode.mtimeNs = inode.ctimeNs = this.#nowNs();
  }

  seek(ino: Ino, offset: number, whence: "data" | "hole"): number {
    const { bytes } = this.#get(ino);
    const found = offset < bytes.size ? bytes.seek(offset, whence) : undefined;
    if (found === undefined) throw new FsError(ERRNO.ENXIO, "past the end");
    return found;
  }

  copyRange(from: Ino, fromOffset: number, to: Ino, toOffset: number, length: number): number {
    const { bytes } = this.#get(from);
    const copy = Buffer.alloc(Math.max(0, Math.min(length, bytes.size - fromOffset)));
    bytes.read(fromOffset, copy);
    if (copy.length > 0) this.write(to, toOffset, copy);
    return copy.length;
  }

  list(ino: Ino, cookie: number, limit: number): Listing {
    const entries: ListedEntry[] = [];
    let next: number | undefined;
    this.readDirectory(ino, cookie, true, ({ name, attributes, next: after }) => {
      if (name === "." || name === ".." || attributes === undefined) return true;
      if (entries.length === limit) return false;
      entries.push({ name, attributes });
      next = after;
      return true;
    });
    return { entries, next: entries.length < limit ? undefined : next };
  }

  readDirectory(ino: Ino, cookie: number, plus: boolean, emit: (entry: DirectoryEntry) => boolean): void {
    const directory = this.#directory(ino);
    const dots: readonly [string, Inode][] = [
      [".", directory],
      ["..", this.#inodes.get(directory.parent) ?? directory],
    ];
    for (const [index, [name, inode]] of dots.entries()) {
      if (cookie <= index && !emit(entryOf(name as FileName, inode, index + 1, plus))) return;
    }
    for (let next = Math.max(cookie, 2); next - 2 < directory.order.length; next++) {
      const name = directory.order[next - 2];
      const child = name === undefined ? undefined : directory.children?.get(name);
      if (name === undefined || child === undefined) continue;
      if (!emit(entryOf(name, this.#get(child.ino), next + 1, plus))) return;
    }
  }

  getXattr(ino: Ino, name: string): Uint8Array | undefined {
    return this.#get(ino).xattrs.get(name);
  }

  setXattr(ino: Ino, name: string, value: Uint8Array, flags: number): void {
    const inode = this.#get(ino);
    if (flags === 1 && inode.xattrs.has(name)) throw new FsError(ERRNO.EEXIST, "exists");
    if (flags === 2 && !inode.xattrs.has(name)) throw new FsError(ERRNO.ENODATA, "no such attribute");
    const acl = name === ACCESS_ACL ? parseAcl(value) : undefined;
    if (acl !== undefined) inode.mode = impliedMode(acl, inode.mode).mode;
    if (acl === undefined || !impliedMode(acl, 0).isWhole) inode.xattrs.set(name, value);
    inode.ctimeNs = this.#nowNs();
  }

  listXattrs(ino: Ino): string[] {
    return [...this.#get(ino).xattrs.keys()];
  }

  removeXattr(ino: Ino, name: string): void {
    if (!this.#get(ino).xattrs.delete(name)) throw new FsError(ERRNO.ENODATA, "no such attribute");
  }

  statFs(): StorageSpace {
    return { blockSize: 4096, blocks: 2 ** 28, freeBlocks: 2 ** 27, files: 2 ** 20, freeFiles: 2 ** 19 };
  }

  persist(): void {
    this.faults.persist();
  }

  fsyncNow(): boolean {
    return false;
  }

  throttle(_ino: Ino | undefined): Promise<void> | undefined {
    return this.faults.throttle();
  }

  async fsync(ino: Ino): Promise<void> {
    this.#inodes.get(ino);
    await this.faults.sync();
  }

  closed(): void {}

  watchReaders(): void {}

  holdVersion(): boolean {
    return true;
  }

  releaseVersion(): void {}

  watchOrphans(listener: (ino: Ino) => void): void {
    this.#orphaned = listener;
    for (const inode of this.#inodes.values()) if (inode.nlink === 0) listener(inode.ino);
  }

  forget(ino: Ino): void {
    if (this.#inodes.get(ino)?.nlink === 0) this.#inodes.delete(ino);
  }

  load(cids: readonly Cid[], signal?: AbortSignal): Promise<void> {
    return this.faults.load(cids, signal);
  }

  knownInodes(): Iterable<Ino> {
    return this.#inodes.keys();
  }

  pathOf(ino: Ino): string {
    return `inode ${ino}`;
  }

  #get(ino: Ino): Inode {
    this.faults.touch(ino);
    const inode = this.#inodes.get(ino);
    if (inode === undefined) throw new FsError(ERRNO.ESTALE, "no such inode");
    return inode;
  }

  #directory(ino: Ino): Inode {
    const inode = this.#get(ino);
    if (inode.children === undefined) throw new FsError(ERRNO.ENOTDIR, "not a directory");
    return inode;
  }

  #child(directory: Inode, name: FileName): Inode {
    const child = directory.children?.get(name);
    if (child === undefined) throw new FsError(ERRNO.ENOENT, "no such name");
    return this.#get(child.ino);
  }

  #make(parent: Ino, name: FileName, mode: number, caller: Caller): Inode {
    const directory = this.#directory(parent);
    if (directory.children?.has(name)) throw new FsError(ERRNO.EEXIST, "exists");
    const inode = this.#born(directory, mode, caller);
    this.#put(directory, name, inode);
    return inode;
  }

  /** A set-gid directory passes its group to new children, and the bit to new directories. */
  #born(directory: Inode, mode: number, caller: Caller): Inode {
    const inherits = (directory.mode & S_ISGID) !== 0;
    const isDirectory = (mode & S_IFMT) === S_IFDIR;
    const owner = inherits ? { uid: caller.uid, gid: directory.gid } : caller;
    const masked = mode & ~(caller.umask ?? 0);
    const inode = new Inode(
      this.#nextIno++ as Ino,
      inherits && isDirectory ? masked | S_ISGID : masked,
      owner,
      this.#nowNs(),
    );
    this.#inodes.set(inode.ino, inode);
    return inode;
  }

  #put(directory: Inode, name: FileName, inode: Inode): void {
    if (directory.children?.has(name)) throw new FsError(ERRNO.EEXIST, "exists");
    directory.children?.set(name, { ino: inode.ino, at: directory.order.length });
    directory.order.push(name);
    if (inode.children !== undefined) {
      inode.parent = directory.ino;
      directory.nlink++;
    }
    directory.mtimeNs = directory.ctimeNs = this.#nowNs();
  }

  #take(directory: Inode, name: FileName): void {
    const child = directory.children?.get(name);
    if (child === undefined) return;
    directory.children?.delete(name);
    directory.order[child.at] = undefined;
    if (this.#inodes.get(child.ino)?.children !== undefined) directory.nlink--;
    directory.mtimeNs = directory.ctimeNs = this.#nowNs();
  }

  #dropName(inode: Inode): void {
    inode.nlink = inode.children === undefined ? inode.nlink - 1 : 0;
    inode.ctimeNs = this.#nowNs();
    if (inode.nlink === 0) this.#orphaned(inode.ino);
  }
}

class Inode {
  readonly ino: Ino;
  readonly children: Map<FileName, { ino: Ino; at: number }> | undefined;
  /** Names in order of creation; a cookie is an index into it. */
  readonly order: (FileName | undefined)[] = [];
  readonly bytes = new PagedBytes();
  readonly xattrs = new Map<string, Uint8Array>();
  parent: Ino = 1 as Ino;
  target = "";
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev = 0;
  atimeNs: bigint;
  mtimeNs: bigint;
  ctimeNs: bigint;

  constructor(ino: Ino, mode: number, owner: Caller, nowNs: bigint) {
    const isDirectory = (mode & S_IFMT) === S_IFDIR;
    this.ino = ino;
    this.mode = mode;
    this.children = isDirectory ? new Map() : undefined;
    this.nlink = isDirectory ? 2 : 1;
    this.uid = owner.uid;
    this.gid = owner.gid;
    this.atimeNs = this.mtimeNs = this.ctimeNs = nowNs;
  }

  attributes(): Attributes {
    const size = this.target.length > 0 ? this.target.length : this.bytes.size;
    const { ino, mode, nlink, uid, gid, rdev, atimeNs, mtimeNs, ctimeNs } = this;
    return { ino, mode, nlink, uid, gid, rdev, size, blocks: Math.ceil(size / 512), atimeNs, mtimeNs, ctimeNs };
  }
}

function entryOf(name: FileName, inode: Inode, next: number, plus: boolean): DirectoryEntry {
  return { ino: inode.ino, name, mode: inode.mode, next, attributes: plus ? inode.attributes() : undefined };
}

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFCHR = 0o020000;
const S_IFLNK = 0o120000;
const S_ISGID = 0o2000;
