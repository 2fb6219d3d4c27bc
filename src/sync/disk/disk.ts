/**
 * The folder that is synced, as a port: real (beneath-disk.ts, portable-disk.ts), or in memory with faults in tests.
 *
 * Paths are names from the folder's root on. Every call resolves them beneath the root without following links. Errors carry the
 * system's code ("ENOENT", "EEXIST", …).
 */
import type { FileName } from "../../base/ids.ts";
import type { FileType, Xattrs } from "../../format/files/record.ts";

export type DiskPath = readonly FileName[];

export interface DiskStat {
  readonly type: FileType;
  /** 12 bits, without the type. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  /** When the inode was made; 0 where the filesystem does not say. Tells inodes apart that had one number after another. */
  readonly birthNs: bigint;
  readonly ino: bigint;
  readonly dev: bigint;
  readonly links: number;
}

export interface DiskEntry {
  readonly name: FileName;
  readonly stat: DiskStat;
}

/** A small file with all that it is to have; of attributes nothing. */
export interface NewFile {
  readonly name: FileName;
  readonly bytes: Uint8Array;
  readonly mode: number;
  /** Undefined: whoever runs this. One that may not be given is left out. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  readonly mtimeNs: bigint;
}

/** What has a name in one directory, and the path that it is to have. */
export interface Placed {
  readonly name: FileName;
  readonly to: DiskPath;
}

/** A file as it was before and after it was read. */
export interface WholeFile {
  readonly stat: DiskStat;
  readonly bytes: Uint8Array;
}

/**
 * `free`: the target must be free (EEXIST). `replace`: takes the place of what is there. `exchange`: both stay, each where the other
 * was; EINVAL where the system cannot.
 */
export type RenameHow = "free" | "replace" | "exchange";

/** What is appended is in the file at once, and stays there when the process dies; when the system does nobody knows. */
export interface AppendFile {
  append(text: string): void;
  clear(): void;
  close(): void;
}

export interface SyncDisk {
  /** Whether extended attributes can be read and written; without, they stay as they are in the bucket. */
  readonly hasXattrs: boolean;
  /** Opens the root anew: an unmounted disk must not go on being seen. Throws `ENOENT` and the like. */
  open(): Promise<void>;
  close(): void;
  /** What is at a path; undefined when nothing is, or when a component above is no directory. */
  look(path: DiskPath): Promise<DiskStat | undefined>;
  /** Everything in a directory, in any order. */
  list(path: DiskPath): Promise<DiskEntry[]>;
  readLink(path: DiskPath): Promise<string>;
  /** A regular file to read; ELOOP for a link. */
  read(path: DiskPath): Promise<DiskFile>;
  /** A new file to write (EEXIST). */
  create(path: DiskPath): Promise<DiskFile>;
  makeDirectory(path: DiskPath): Promise<void>;
  makeSymlink(path: DiskPath, target: string): Promise<void>;
  /** Another name for the file at `from`; the new one must be free. */
  link(from: DiskPath, to: DiskPath): Promise<void>;
  rename(from: DiskPath, to: DiskPath, how: RenameHow): Promise<void>;
  unlink(path: DiskPath): Promise<void>;
  /** The same, done when it returns: for a process that a signal ends. Absent: there is no such way. */
  unlinkNow?(path: DiskPath): void;
  removeDirectory(path: DiskPath): Promise<void>;
  /** Not of a link. */
  setMode(path: DiskPath, mode: number): Promise<void>;
  setOwner(path: DiskPath, uid: number, gid: number): Promise<void>;
  setModified(path: DiskPath, mtimeNs: bigint): Promise<void>;
  /** user.* attributes, and those of other spaces if the disk was asked for them. None of a link. */
  xattrs(path: DiskPath): Promise<Xattrs>;
  /** Gives exactly these. ENOTSUP where the filesystem has none. */
  setXattrs(path: DiskPath, xattrs: Xattrs): Promise<void>;
  /** Makes a directory's names durable. */
  syncDirectory(path: DiskPath): Promise<void>;
  /** Many small files at a time. Undefined for one that is not there, not as long, or changed meanwhile. Absent: read them one by one. */
  readonly readAll?:
    | ((files: readonly { readonly path: DiskPath; readonly size: number }[]) => Promise<(WholeFile | undefined)[]>)
    | undefined;
  /** Whether `xattrs` would tell of none, for many paths at a time; false also where that is not known. Absent: ask one by one. */
  readonly areBare?: ((paths: readonly DiskPath[]) => Promise<readonly boolean[]>) | undefined;
  /** New files in one directory (EEXIST) at a time, durable unless told otherwise. Absent: make them one by one. */
  readonly createAll?:
    | ((directory: DiskPath, files: readonly NewFile[], isDurable?: boolean) => Promise<DiskStat[]>)
    | undefined;
  /**
   * Renames what is in one directory to free paths, in turn, until one cannot be had: how each looks that has its path, undefined where
   * somebody took it away again. Right behind each a dot is appended to `marks`, which this disk opened. Absent: rename them one by one.
   */
  readonly placeAll?:
    | ((
        directory: DiskPath,
        files: readonly Placed[],
        marks?: AppendFile,
      ) => Promise<readonly (DiskStat | undefined)[]>)
    | undefined;
  /** Makes all that was written to the filesystem durable. ENOTSUP where that takes each file by itself, as where it is absent. */
  readonly syncAll?: (() => Promise<void>) | undefined;
  /** Once it is open: differs after each start of the system; undefined where it does not tell. */
  readonly boot: string | undefined;
  /** A new file; what has its name, which is no directory, is removed. Absent: there are none of this kind. */
  readonly openAppend?: ((path: DiskPath) => AppendFile) | undefined;
}

export interface DiskFile {
  stat(): Promise<DiskStat>;
  /** Fewer bytes only at the end. */
  read(offset: number, length: number): Promise<Uint8Array>;
  write(offset: number, bytes: Uint8Array): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Makes contents and attributes durable. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Codes of a disk that does not let one object be moved, made or removed: no reason to stop a pass. */
export const REFUSALS = ["EACCES", "EPERM", "EBUSY", "EINVAL", "ENAMETOOLONG", "EROFS", "ETXTBSY", "EXDEV"] as const;
