/**
 * The port to the synced folder: real (beneath-disk.ts, portable-disk.ts), or in memory with faults for tests.
 *
 * Paths are names below the folder's root. Every call resolves them beneath the root without following links. Errors carry
 * the system's code ("ENOENT", "EEXIST", …).
 */
import type { FileName } from "../../base/ids.ts";
import type { Stretch } from "../../content/chunker.ts";
import type { FileType, Xattrs } from "../../format/files/record.ts";

export type DiskPath = readonly FileName[];

export interface DiskStat {
  readonly type: FileType;
  /** 12 bits, without the type. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** All times are in range (base/nanoseconds.ts). */
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  /** When the inode was made; 0 if the filesystem does not tell. Distinguishes inodes that reuse a number. */
  readonly birthNs: bigint;
  readonly ino: bigint;
  readonly dev: bigint;
  readonly links: number;
  /** Whether it is mounted here, perhaps from the same device; false if the system does not tell. */
  readonly isMounted: boolean;
}

/** Stands for an entry that the system tells nothing of, such as another user's FUSE mount. */
export interface UnknownStat extends Omit<DiskStat, "type"> {
  readonly type: "unknown";
}

export const UNKNOWN: UnknownStat = {
  type: "unknown",
  mode: 0,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeNs: 0n,
  ctimeNs: 0n,
  birthNs: 0n,
  ino: 0n,
  dev: 0n,
  links: 0,
  isMounted: false,
};

export interface DiskEntry {
  readonly name: FileName;
  readonly stat: DiskStat;
}

export interface ListedEntry {
  readonly name: FileName;
  readonly stat: DiskStat | UnknownStat;
}

export function hasStat(entry: ListedEntry): entry is DiskEntry {
  return entry.stat.type !== "unknown";
}

/** A complete small file, without extended attributes. */
export interface NewFile {
  readonly name: FileName;
  readonly bytes: Uint8Array;
  readonly mode: number;
  /** Undefined: the current user. An owner that cannot be set is skipped. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  readonly mtimeNs: bigint;
}

/** An entry of one directory, and its new path. */
export interface Placed {
  readonly name: FileName;
  readonly to: DiskPath;
}

/** A file with its state before and after the read. */
export interface WholeFile {
  readonly stat: DiskStat;
  readonly bytes: Uint8Array;
}

/**
 * `free`: the target must be free (EEXIST). `replace`: replaces the target. `exchange`: both swap places; EINVAL if the
 * system does not support it.
 */
export type RenameHow = "free" | "replace" | "exchange";

/** Appended data is in the file at once and survives the process' death, but not necessarily the system's. */
export interface AppendFile {
  append(text: string): void;
  clear(): void;
  close(): void;
}

export interface SyncDisk {
  /** Whether extended attributes can be read and written; if not, the bucket's stay unchanged. */
  readonly hasXattrs: boolean;
  /** Reopens the root: an unmounted disk must not stay visible. Throws `ENOENT` and the like. */
  open(): Promise<void>;
  close(): void;
  /** What is at a path; undefined if nothing is or can be there, or a parent is not a directory. */
  look(path: DiskPath): Promise<DiskStat | undefined>;
  /** Everything in a directory, in any order. Throws if it can look at none of the entries. */
  list(path: DiskPath): Promise<ListedEntry[]>;
  readLink(path: DiskPath): Promise<string>;
  /** Opens a regular file to read; ELOOP for a link. */
  read(path: DiskPath): Promise<DiskFile>;
  /** Creates a new file to write (EEXIST). */
  create(path: DiskPath): Promise<DiskFile>;
  makeDirectory(path: DiskPath): Promise<void>;
  makeSymlink(path: DiskPath, target: string): Promise<void>;
  /** Another name for the file at `from`; the new one must be free. */
  link(from: DiskPath, to: DiskPath): Promise<void>;
  rename(from: DiskPath, to: DiskPath, how: RenameHow): Promise<void>;
  unlink(path: DiskPath): Promise<void>;
  /** The same, synchronously, for a process that a signal ends. Absent if unsupported. */
  unlinkNow?(path: DiskPath): void;
  removeDirectory(path: DiskPath): Promise<void>;
  /** Not for links. If the file has an access list, its mode may show the list's mask afterwards. */
  setMode(path: DiskPath, mode: number): Promise<void>;
  setOwner(path: DiskPath, uid: number, gid: number): Promise<void>;
  setModified(path: DiskPath, mtimeNs: bigint): Promise<void>;
  /** user.* attributes, and others if the disk was opened for them; E2BIG if a bucket cannot hold them. None for links. */
  xattrs(path: DiskPath): Promise<Xattrs>;
  /** Sets exactly these. ENOTSUP if the filesystem has none. */
  setXattrs(path: DiskPath, xattrs: Xattrs): Promise<void>;
  /**
   * The rights (rwx bits) of the file's group, if it has an access list: its mode shows the list's mask instead. Absent on
   * disks without lists.
   */
  groupRights?(path: DiskPath): Promise<number | undefined>;
  /**
   * Gives a file the access list (ACL) of another file, or none, and this mode. If the list cannot be set, the group loses
   * its rights. ENOTSUP if the filesystem has no lists. Absent if the disk cannot do it.
   */
  copyAcl?(from: DiskPath, to: DiskPath, mode: number): Promise<void>;
  /** Makes a directory's names durable. */
  syncDirectory(path: DiskPath): Promise<void>;
  /**
   * Reads many small files at once. Undefined for a file that is missing, shorter, or changed meanwhile. Absent: read one
   * by one.
   */
  readonly readAll?:
    | ((files: readonly { readonly path: DiskPath; readonly size: number }[]) => Promise<(WholeFile | undefined)[]>)
    | undefined;
  /** Whether each path has no extended attributes, for many at once; false also if unknown. Absent: ask one by one. */
  readonly areBare?: ((paths: readonly DiskPath[]) => Promise<readonly boolean[]>) | undefined;
  /** Makes new files in one directory (EEXIST), durable unless told otherwise. Absent: make them one by one. */
  readonly createAll?:
    | ((directory: DiskPath, files: readonly NewFile[], isDurable?: boolean) => Promise<DiskStat[]>)
    | undefined;
  /**
   * Renames entries of one directory to free paths, in order, until one fails. Answers how each renamed file looks;
   * undefined if someone removed it again. Appends a dot to `marks`, which this disk opened, right after each. Absent:
   * rename one by one.
   */
  readonly placeAll?:
    | ((
        directory: DiskPath,
        files: readonly Placed[],
        marks?: AppendFile,
      ) => Promise<readonly (DiskStat | undefined)[]>)
    | undefined;
  /** Makes everything on the filesystem durable. If absent or ENOTSUP, sync each file by itself. */
  readonly syncAll?: (() => Promise<void>) | undefined;
  /** Set once open: identifies the system's boot; undefined if unknown. */
  readonly boot: string | undefined;
  /** Opens a new file; replaces any non-directory of that name. Absent if unsupported. */
  readonly openAppend?: ((path: DiskPath) => AppendFile) | undefined;
}

export interface DiskFile {
  stat(): Promise<DiskStat>;
  /** Returns fewer bytes only at the end. May use `target`, which has room. */
  read(offset: number, length: number, target?: Uint8Array): Promise<Uint8Array>;
  /** How many zeros from `offset` on lie in a hole, and so need not be read. Absent: unknown. */
  readonly zerosAt?: ((offset: number) => number) | undefined;
  /** Writes the parts one after the other. */
  write(offset: number, ...parts: readonly Uint8Array[]): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Makes contents and attributes durable. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** As `read`. In a hole with at least `length` more bytes before `size`, returns how many zeros follow instead. */
export async function readStretch(
  file: Pick<DiskFile, "read" | "zerosAt">,
  size: number,
  ...part: Parameters<DiskFile["read"]>
): Promise<Stretch> {
  const [offset, length] = part;
  const zeros = Math.min(file.zerosAt?.(offset) ?? 0, size - offset);
  return zeros >= length ? zeros : file.read(...part);
}

/** Codes of a path where nothing can be: the last three are for names that the disk cannot hold. */
export const NOT_THERE = ["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "EILSEQ", "name_invalid"] as const;
/** Codes of a disk that cannot hold one object, because of its name or size. */
export const NOT_HELD = ["ENAMETOOLONG", "EILSEQ", "name_invalid", "EFBIG"] as const;
/** Codes of a filesystem that lacks an operation, such as making links. */
export const UNSUPPORTED = ["ENOTSUP", "EOPNOTSUPP", "ENOSYS"] as const;
const FORBIDDEN = ["EACCES", "EPERM", "EBUSY", "EINVAL", "EROFS", "ETXTBSY", "EXDEV", "ENOKEY", "E2BIG"] as const;
/** Codes of a disk that refuses to move, make or remove one object: no reason to stop a pass. */
export const REFUSALS = [...FORBIDDEN, ...NOT_HELD, ...UNSUPPORTED] as const;
