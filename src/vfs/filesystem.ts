/**
 * The filesystem that every door serves: inode-level calls with POSIX semantics, on the overlay over the bucket's tree.
 *
 * Calls are synchronous and atomic: none awaits between reading and changing. A call that needs blocks that are not in
 * memory throws `BlockMiss` before it changes anything; the door loads them (`load`) and calls again. POSIX errors are
 * `FsError`s with an errno. Mutations are buffered journal records. A door calls `persist` before it answers: whatever it
 * answered then survives the agent's death. `fsync` makes it survive power loss.
 */
import { ERRNO } from "../base/errno.ts";
import type { Cid, FileName, Ino } from "../base/ids.ts";
import type { Xattrs } from "../format/files/record.ts";
import type { StorageSpace } from "../overlay/disk/storage.ts";

/**
 * An error that a local disk would return too. `errno` is Linux's positive number (base/errno.ts). It is an answer, not a
 * fault, and thrown thousands of times a second: no stack is taken (3.3 µs with one, 0.9 µs without).
 */
export class FsError extends Error {
  readonly errno: number;
  constructor(errno: number, message: string) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = stackTraceLimit;
    this.name = "FsError";
    this.errno = errno;
  }
}

/**
 * ENOSPC at the limit of unpublished bytes. The call has changed nothing. A door that can wait does so: `room` resolves when
 * the call may succeed, and rejects with ENOSPC when no room is to be expected.
 */
export class NoRoomYet extends FsError {
  readonly room: () => Promise<void>;
  constructor(room: () => Promise<void>) {
    super(ERRNO.ENOSPC, "ENOSPC");
    this.room = room;
  }
}

/** Times are bigints, which cost the FUSE door 4 ns an object: a store into a BigInt64Array does not allocate. */
export interface Attributes {
  readonly ino: Ino;
  /** File type and permission bits, as in st_mode. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly size: number;
  /** 512-byte blocks, holes not counted. */
  readonly blocks: number;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  /** Undefined if unknown. */
  readonly birthNs?: bigint | undefined;
}

/** The caller: owner of what it creates. The kernel checks permissions (default_permissions). */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  /** Mode bits that new objects do not get, unless the directory has a default access control list. */
  readonly umask?: number;
}

/** Fields to set; absent ones stay. `mtimeNs: "now"` uses the clock. */
export interface AttributeChange {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly atimeNs?: bigint | "now";
  readonly mtimeNs?: bigint | "now";
  readonly ctimeNs?: bigint;
}

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const RENAME_WHITEOUT = 4;

export const FALLOC_KEEP_SIZE = 0x01;
export const FALLOC_PUNCH_HOLE = 0x02;
export const FALLOC_ZERO_RANGE = 0x10;

export interface FileSystem {
  /** Undefined if there is no such name: the commonest answer of all, so not an exception. */
  lookup(parent: Ino, name: FileName): Attributes | undefined;
  getAttributes(ino: Ino): Attributes;
  setAttributes(ino: Ino, change: AttributeChange): Attributes;

  /** `mode` carries the file type: regular files, fifos, sockets and devices. EEXIST if the name is taken. */
  makeNode(parent: Ino, name: FileName, mode: number, rdev: number, caller: Caller): Attributes;
  makeDirectory(parent: Ino, name: FileName, mode: number, caller: Caller): Attributes;
  makeSymlink(parent: Ino, name: FileName, target: string, caller: Caller): Attributes;
  /** A regular file without a name (O_TMPFILE); `link` gives it one. */
  makeUnnamed(parent: Ino, mode: number, caller: Caller): Attributes;
  link(ino: Ino, parent: Ino, name: FileName): Attributes;
  unlink(parent: Ino, name: FileName): void;
  removeDirectory(parent: Ino, name: FileName): void;
  /**
   * `flags`: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT. A whiteout of `caller` takes the old name: a character
   * device 0:0, with which the upper layer of an overlayfs hides a name of the lower one.
   */
  rename(parent: Ino, name: FileName, newParent: Ino, newName: FileName, flags: number, caller?: Caller): void;
  readSymlink(ino: Ino): string;

  /** Reads up to `length` bytes at `offset` into `target`; returns how many. Short only at the end of the file. */
  read(ino: Ino, offset: number, length: number, target: Uint8Array): number;
  /**
   * As `read`, for long reads in order; keeps no copy in memory of bytes on this machine's disk. A read may finish later:
   * leave `target` alone until it does. May return fewer bytes anywhere, even none: use `read` for those.
   */
  readUncached(ino: Ino, offset: number, target: Uint8Array): number | Promise<number>;
  /** Writes all of `bytes` at `offset`; grows the file. ENOSPC changes nothing; it may be a NoRoomYet. */
  write(ino: Ino, offset: number, bytes: Uint8Array): void;
  /** fallocate(2) with its mode bits. */
  allocate(ino: Ino, mode: number, offset: number, length: number): void;
  /** SEEK_DATA or SEEK_HOLE; ENXIO past the end. */
  seek(ino: Ino, offset: number, whence: "data" | "hole"): number;
  copyRange(from: Ino, fromOffset: number, to: Ino, toOffset: number, length: number): number;

  /** Refuses EROFS or ESTALE if the file may not be opened to be written. Absent: every file may. */
  checkWritable?(ino: Ino): void;

  /**
   * Lists a directory from `cookie` (0: the start; "." and ".." come first), calling `emit` per entry until it returns
   * false. `next` is the cookie after that entry: stable while the directory changes. `attributes` only if
   * `withAttributes`.
   */
  readDirectory(ino: Ino, cookie: number, withAttributes: boolean, emit: (entry: DirectoryEntry) => boolean): void;

  /**
   * Up to `limit` entries after a cookie (0: the start), in the same order and without the dots, and the cookie to continue
   * with; undefined at the end. Unchanged entries get an inode number only on demand: for many names, assigning numbers is
   * most of the work.
   */
  list(ino: Ino, cookie: number, limit: number): Listing;

  /** Undefined if the inode has no such attribute (the kernel asks for security.capability before writes). */
  getXattr(ino: Ino, name: string): Uint8Array | undefined;
  /** `flags`: 0, XATTR_CREATE (1) or XATTR_REPLACE (2). An access control list also sets the mode (acl.ts). */
  setXattr(ino: Ino, name: string, value: Uint8Array, flags: number): void;
  listXattrs(ino: Ino): string[];
  removeXattr(ino: Ino, name: string): void;

  statFs(): StorageSpace;

  readonly answers: AnsweredRequests;
  /** Writes out all buffered journal records. Call this before any answer leaves. */
  persist(): void;
  /**
   * Back-pressure: resolves when a call that changes this inode, or adds or removes names, may start. Undefined, as nearly
   * always: at once. It slows programs that change more than can be published. `bytes`: for a write of this many bytes.
   */
  throttle(ino: Ino | undefined, bytes?: number): Promise<void> | undefined;
  /** Makes everything answered so far about this file (and the journal) survive power loss. */
  fsync(ino: Ino): Promise<void>;
  /** As `fsync`, but before it returns, if one flush of a quick disk suffices. False: not done; call `fsync`. */
  fsyncNow(ino: Ino): boolean;
  /** A handle that wrote was closed: a flush may start. */
  closed(ino: Ino): void;
  /**
   * A door tells which files programs read through it. There is one such door: a later one replaces it. `earlier`: what
   * programs have open since before this process.
   */
  watchReaders(readers: Readers, earlier?: EarlierOpens): void;
  /**
   * A program opens a file to write in place. The file then stays as it is here: others' changes show only after
   * `releaseVersion`, and what is written meanwhile is merged as a change of what the program saw. Returns
   * false if an earlier process held an older version, which is not shown any more. Throws BlockMiss, not if the file has
   * unpublished changes.
   */
  holdVersion(ino: Ino): boolean;
  /** The last such program has closed the file. */
  releaseVersion(ino: Ino): void;
  /**
   * Calls `listener` for each inode that loses its last name, during the call that removes it (makeUnnamed too), and at
   * once for inodes that have none already. Each such inode stays until a door calls `forget`. There is one listener: a
   * later one replaces it.
   */
  watchOrphans(listener: (ino: Ino) => void): void;
  /** The inode is no longer in use: without a name, it can be removed. No effect if it has a name (again). */
  forget(ino: Ino): void;

  /** Fetches a BlockMiss's blocks. Rejects with `read_timeout`, `block_corrupt`; the door answers EIO, logs the path. */
  load(cids: readonly Cid[], signal?: AbortSignal): Promise<void>;
  /** Tells from now on what others change in the bucket. Absent: nobody changes anything. */
  watchOthers?(): OthersWatch;
  /** Names that each directory may have although no listing shows them. */
  readonly unlistedNames?: readonly FileName[];
  /** The inode's current path, for messages. */
  pathOf(ino: Ino): string;
  /** All inodes that doors may know, including those of earlier processes. There may be millions, and more during the iteration. */
  knownInodes(): Iterable<Ino>;
}

/** Files that programs have open, unless one may append to it. Those that `holdVersion` holds may be among them. */
export interface Readers {
  has(ino: Ino): boolean;
  all(): Iterable<Ino>;
  /** Files that programs have locked. The next program to lock the name must meet that lock. */
  locked?(): ReadonlySet<Ino>;
}

/** Files that programs have open since before this process. */
export interface EarlierOpens {
  /** Those whose versions are held. */
  readonly held: Iterable<Ino>;
  /** Whether `held` and the readers are all. */
  readonly isComplete: boolean;
}

/** What others changed since the watch began. */
export interface OthersWatch extends Disposable {
  /** Whether others made the object, gave it a name, or changed a file. Throws as `getAttributes`. */
  hasChanged(ino: Ino): boolean;
}

/** Which requests of a connection were executed, so that a restart does not execute them again. */
export interface AnsweredRequests {
  /** The request that the next change answers, 1 to 2⁵³; 0: none. */
  request: number;
  /** Of a request executed before the last restart: the inode that it made or linked, or 0. Undefined: not executed. */
  of(request: number): Ino | 0 | undefined;
  /** The executed request is answered later: a restart before `answered` finds its result. */
  keep(request: number): void;
  answered(request: number): void;
  /** Call when a new connection begins, or when no more requests are sent again. Throws as a change does. */
  forget(): void;
}

export interface DirectoryEntry {
  readonly ino: Ino;
  readonly name: FileName;
  /** st_mode with at least the type bits. */
  readonly mode: number;
  readonly next: number;
  readonly attributes: Attributes | undefined;
}

export interface Listing {
  readonly entries: readonly ListedEntry[];
  readonly next: number | undefined;
}

export interface ListedEntry {
  readonly name: FileName;
  readonly attributes: ListedAttributes;
}

/** Reading `ino` may look it up: it then refuses ESTALE, or throws BlockMiss. */
export interface ListedAttributes extends Pick<Attributes, "ino" | "mode" | "size" | "mtimeNs" | "ctimeNs"> {
  /** The name of the file's bytes, if known without a lookup. */
  readonly contentName?: Cid;
  /** A file's xattrs, if known without its inode. Reading them throws BlockMiss. */
  readonly xattrs?: Xattrs;
}

/** What a door must report to its kernel or clients after others changed something. */
export interface Invalidations {
  /**
   * Names whose meaning changed, in directories known here. `removed`: the name is gone, and with it this inode's last
   * name; programs that have it open then see that in its link count.
   */
  readonly entries: readonly { readonly parent: Ino; readonly name: FileName; readonly removed?: Ino }[];
  /** Inodes whose attributes or contents changed. */
  readonly inodes: readonly Ino[];
  /** Too many to list: forget everything. */
  readonly all: boolean;
}
