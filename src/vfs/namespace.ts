/** Names: creating, linking, removing and renaming, with the rules of a local Linux filesystem. */
import { type Cid, type FileId, type FileName, type Ino, ROOT_INO } from "../base/ids.ts";
import { LISTING_BATCH, MAX_LINKS, MAX_SYMLINK_BYTES } from "../base/limits.ts";
import { peekDirectory } from "../fstree/fs-reader.ts";
import { dentryId } from "../format/files/rows.ts";
import { targetOf } from "../format/blocks/linked-value.ts";
import type { FileType, Xattrs } from "../format/files/record.ts";
import { isEarlierVersion, isUnlinked, linksOf } from "../overlay/dirty-object.ts";
import type { JournalRecord } from "../overlay/journal/journal-record.ts";
import { ACCESS_ACL, DEFAULT_ACL, encodeAcl } from "../format/files/acl.ts";
import { inheritAcl, readAcl } from "./acl.ts";
import { type Attributes, type Caller, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT } from "./filesystem.ts";
import { type Objects, TYPE_BITS } from "./objects.ts";
import { ownXattrs } from "./own-record.ts";
import { checkNewName, refuse } from "./refusal.ts";

const S_IFMT = 0o170000;
const S_ISGID = 0o2000;
const PERMISSIONS = 0o7777;

const ROOT_USER: Caller = { uid: 0, gid: 0 };

const NODE_TYPES: ReadonlyMap<number, FileType> = new Map([
  [0, "file"],
  [TYPE_BITS.file, "file"],
  [TYPE_BITS.fifo, "fifo"],
  [TYPE_BITS.socket, "socket"],
  [TYPE_BITS.char, "char"],
  [TYPE_BITS.block, "block"],
]);

export class Namespace {
  readonly #objects: Objects;
  /** How far a directory of the base was found empty here: on the same base, nothing before that point reappears. */
  #emptied: { readonly base: Cid; readonly id: FileId; readonly after: FileName | undefined } | undefined;

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  lookup(parent: Ino, name: FileName): Attributes | undefined {
    const ino = this.#objects.child(parent, name);
    return ino === undefined ? undefined : this.#objects.attributes(ino);
  }

  makeNode(parent: Ino, name: FileName, mode: number, rdev: number, caller: Caller): Attributes {
    const type = NODE_TYPES.get(mode & S_IFMT);
    if (type === undefined) throw refuse("EINVAL");
    const device = type === "char" || type === "block" ? rdev : 0;
    return this.#make(parent, name, type, mode & PERMISSIONS, device, "", caller);
  }

  makeDirectory(parent: Ino, name: FileName, mode: number, caller: Caller): Attributes {
    return this.#make(parent, name, "directory", mode & PERMISSIONS, 0, "", caller);
  }

  makeSymlink(parent: Ino, name: FileName, target: string, caller: Caller): Attributes {
    if (target.length === 0) throw refuse("ENOENT");
    if (target.length > MAX_SYMLINK_BYTES) throw refuse("ENAMETOOLONG");
    if (target.includes("\0")) throw refuse("EINVAL");
    return this.#make(parent, name, "symlink", 0o777, 0, target, caller);
  }

  makeUnnamed(parent: Ino, mode: number, caller: Caller): Attributes {
    const made = this.#make(parent, undefined, "file", mode & PERMISSIONS, 0, "", caller);
    this.#objects.onOrphan(made.ino);
    return made;
  }

  link(ino: Ino, parent: Ino, name: FileName): Attributes {
    checkNewName(name);
    const { dirty, clean } = this.#objects.inode(ino);
    const records: JournalRecord[] = [];
    this.#enter(parent, records);
    if (this.#objects.child(parent, name) !== undefined) throw refuse("EEXIST");
    if ((dirty?.type ?? clean?.record.type) === "directory") throw refuse("EPERM");
    if (dirty !== undefined && isUnlinked(dirty) && !dirty.unnamed)
      throw refuse(isEarlierVersion(dirty) ? "ESTALE" : "ENOENT");
    if ((dirty?.links.size ?? clean?.names ?? 0) >= MAX_LINKS) throw refuse("EMLINK");
    this.#objects.keep(ino, records);
    records.push({ kind: "link", ino, parent, name, timeNs: this.#objects.clock.nowNs() });
    this.#objects.execute(records);
    return this.#objects.attributes(ino);
  }

  unlink(parent: Ino, name: FileName): void {
    const ino = this.#present(parent, name);
    if (this.#objects.type(ino) === "directory") throw refuse("EISDIR");
    this.#remove(parent, name, ino);
  }

  removeDirectory(parent: Ino, name: FileName): void {
    if (name === ".") throw refuse("EINVAL");
    if (name === "..") throw refuse("ENOTEMPTY");
    const ino = this.#present(parent, name);
    if (this.#objects.type(ino) !== "directory") throw refuse("ENOTDIR");
    if (!this.#isEmpty(ino)) throw refuse("ENOTEMPTY");
    this.#remove(parent, name, ino);
  }

  rename(
    parent: Ino,
    name: FileName,
    newParent: Ino,
    newName: FileName,
    flags: number,
    caller: Caller = ROOT_USER,
  ): void {
    checkNewName(newName);
    const exchange = (flags & RENAME_EXCHANGE) !== 0;
    const keep = (flags & RENAME_NOREPLACE) !== 0;
    const whiteout = (flags & RENAME_WHITEOUT) !== 0;
    if (exchange && (keep || whiteout)) throw refuse("EINVAL");
    const ino = this.#present(parent, name);
    const other = this.#objects.child(newParent, newName);
    if (other === undefined && exchange) throw refuse("ENOENT");
    if (other !== undefined && keep) throw refuse("EEXIST");
    this.#checkMove(ino, newParent);
    if (other !== undefined && exchange) this.#checkMove(other, parent);
    if (other !== undefined && !exchange) this.#checkReplace(ino, parent, other);
    // Two names of one file: POSIX requires a no-op.
    if (other === ino) return;
    const records: JournalRecord[] = [];
    this.#enter(newParent, records);
    this.#objects.keep(parent, records);
    this.#objects.keep(ino, records);
    if (other !== undefined) this.#objects.keep(other, records);
    this.#checkLink(ino, parent, name, records);
    if (other !== undefined) this.#checkLink(other, newParent, newName, records);
    const timeNs = this.#objects.clock.nowNs();
    records.push({ kind: "rename", ino, parent, name, newParent, newName, other: other ?? 0, exchange, timeNs });
    if (whiteout) {
      const { next } = this.#objects.overlay.state.inodes;
      const { uid } = caller;
      const gid = groupIn(this.#enter(parent, records, false), caller);
      const object = { ino: next, type: "char", mode: 0, uid, gid, rdev: 0, target: "", timeNs } as const;
      records.push({ kind: "create", object, parent, name });
    }
    this.#objects.execute(records);
    if (!exchange && !whiteout && this.#isUncovered(parent, name)) this.#objects.onUncovered(parent, name);
    if (other === undefined || exchange) return;
    this.#tellOrphan(other);
  }

  readSymlink(ino: Ino): string {
    const record = this.#objects.record(ino);
    if (record.type !== "symlink") throw refuse("EINVAL");
    return targetOf(record, this.#objects.loader.peekLinked);
  }

  #make(
    parent: Ino,
    name: FileName | undefined,
    type: FileType,
    mode: number,
    rdev: number,
    target: string,
    caller: Caller,
  ): Attributes {
    if (name !== undefined) checkNewName(name);
    const records: JournalRecord[] = [];
    const directory = this.#enter(parent, records, name !== undefined);
    if (name !== undefined && this.#objects.child(parent, name) !== undefined) throw refuse("EEXIST");
    // New directories in a setgid directory inherit the bit.
    const inherits = type === "directory" && (directory.mode & S_ISGID) !== 0;
    const given = this.#given(parent, type, mode, caller);
    const ino = this.#objects.overlay.state.inodes.next;
    const timeNs = this.#objects.clock.nowNs();
    const object = {
      ino,
      type,
      mode: inherits ? given.mode | S_ISGID : given.mode,
      uid: caller.uid,
      gid: groupIn(directory, caller),
      rdev,
      target,
      timeNs,
    };
    records.push({ kind: "create", object, parent, name: name ?? "" });
    if (given.xattrs !== undefined) records.push({ kind: "xattrs", ino, xattrs: given.xattrs, timeNs });
    // A file will still be written and closed.
    this.#objects.execute(records, { reason: () => (type === "file" ? "write" : "change") });
    return this.#objects.dirtyAttributes(this.#objects.changed(ino));
  }

  /** The mode of a new object, and the access control lists that it inherits. Throws BlockMiss. */
  #given(parent: Ino, type: FileType, mode: number, { umask = 0 }: Caller): { mode: number; xattrs?: Xattrs } {
    if (type === "symlink") return { mode };
    const stored = this.#objects.xattrs(parent).get(DEFAULT_ACL);
    const acl = stored && readAcl(stored);
    if (stored === undefined || acl === undefined) return { mode: mode & ~umask };
    const { mode: left, access } = inheritAcl(acl, mode);
    const xattrs = new Map<string, Uint8Array>();
    if (access !== undefined) xattrs.set(ACCESS_ACL, encodeAcl(access));
    if (type === "directory") xattrs.set(DEFAULT_ACL, stored);
    return xattrs.size === 0 ? { mode: left } : { mode: left, xattrs: ownXattrs(xattrs) };
  }

  /** Checks that a directory exists to get an entry, and records its change. */
  #enter(parent: Ino, records: JournalRecord[], changes = true): { readonly mode: number; readonly gid: number } {
    const { dirty, clean } = this.#objects.inode(parent);
    const directory = dirty ?? clean?.record;
    if (directory?.type !== "directory") throw refuse("ENOTDIR");
    if (dirty !== undefined && isUnlinked(dirty)) throw refuse("ENOENT");
    if (changes) this.#objects.keep(parent, records);
    return directory;
  }

  #present(parent: Ino, name: FileName): Ino {
    const ino = this.#objects.child(parent, name);
    if (ino === undefined) throw refuse("ENOENT");
    return ino;
  }

  #remove(parent: Ino, name: FileName, ino: Ino): void {
    const records: JournalRecord[] = [];
    this.#objects.keep(parent, records);
    this.#objects.keep(ino, records);
    this.#checkLink(ino, parent, name, records);
    records.push({ kind: "unlink", ino, parent, name, timeNs: this.#objects.clock.nowNs() });
    this.#objects.execute(records, { urgent: true });
    if (this.#isUncovered(parent, name)) this.#objects.onUncovered(parent, name);
    this.#tellOrphan(ino);
  }

  /** The journaled link must exist: if the object has moved, the call is refused, and the name looked up again. */
  #checkLink(ino: Ino, parent: Ino, name: FileName, records: readonly JournalRecord[]): void {
    const { state } = this.#objects.overlay;
    const keeps = records.find((record) => record.kind === "keep" && record.object.ino === ino);
    const links = keeps?.kind === "keep" ? linksOf(keeps.object) : state.object(ino)?.links;
    if (links?.has({ parent, name })) return;
    this.#objects.clean.forgetName(parent, name);
    throw refuse("ESTALE");
  }

  /** Whether a name that was just freed leads to what others put there meanwhile. */
  #isUncovered(parent: Ino, name: FileName): boolean {
    try {
      return this.#objects.child(parent, name) !== undefined;
    } catch {
      // A local change neither waits for the bucket nor fails with it: a later lookup of the name does.
      return true;
    }
  }

  #tellOrphan(ino: Ino): void {
    if (isUnlinked(this.#objects.changed(ino))) this.#objects.onOrphan(ino);
  }

  /** Refuses to move a directory into itself. */
  #checkMove(ino: Ino, newParent: Ino): void {
    if (this.#objects.type(ino) === "directory" && this.#isWithin(newParent, ino)) throw refuse("EINVAL");
  }

  /** The refusals of rename(2) when the new name exists. */
  #checkReplace(ino: Ino, parent: Ino, replaced: Ino): void {
    if (replaced === ino) return;
    const isDirectory = this.#objects.type(ino) === "directory";
    const overDirectory = this.#objects.type(replaced) === "directory";
    if (overDirectory && this.#isWithin(parent, replaced)) throw refuse("ENOTEMPTY");
    if (isDirectory && !overDirectory) throw refuse("ENOTDIR");
    if (!isDirectory && overDirectory) throw refuse("EISDIR");
    if (overDirectory && !this.#isEmpty(replaced)) throw refuse("ENOTEMPTY");
  }

  #isWithin(directory: Ino, ancestor: Ino): boolean {
    const seen = new Set<Ino>();
    for (let at: Ino | undefined = directory; at !== undefined && !seen.has(at); at = this.#objects.parentOf(at)) {
      if (at === ancestor) return true;
      if (at === ROOT_INO) return false;
      seen.add(at);
    }
    return false;
  }

  /**
   * A directory may have more rows than fit into memory, all removed here: after a missing block the next call resumes
   * there, since from the start it would never finish.
   */
  #isEmpty(ino: Ino): boolean {
    const { overlay, loader, ownNames } = this.#objects;
    const { state } = overlay;
    if (ownNames.hasAny(ino)) return false;
    const id = this.#objects.directoryId(ino);
    if (id === undefined) return true;
    const { commit, tree } = state.base;
    const known = this.#emptied?.base === commit && this.#emptied.id === id ? this.#emptied.after : undefined;
    for (let after = known; ;) {
      this.#emptied = { base: commit, id, after };
      const rows = peekDirectory(loader.nodes, tree, id, after, LISTING_BATCH);
      for (const { name, dentry } of rows) {
        const isOwn = ownNames.at(ino, id, name) !== undefined;
        if (!isOwn && state.dirtyWithId(dentryId(id, name, dentry)) === undefined) return false;
      }
      after = rows.at(-1)?.name;
      if (after === undefined || rows.length < LISTING_BATCH) return true;
    }
  }
}

/** The group of a new object: in a setgid directory the directory's. */
function groupIn({ mode, gid }: { readonly mode: number; readonly gid: number }, caller: Caller): number {
  return mode & S_ISGID ? gid : caller.gid;
}
