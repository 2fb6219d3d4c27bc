/** What a path of a mount shows. */
import type { FileName, Ino } from "../../base/ids.ts";
import type { Attributes, FileSystem } from "../../vfs/filesystem.ts";

export interface Shown {
  readonly attributes: Attributes;
  /** A file's bytes or a symlink's target; empty for a directory. */
  readonly contents: Buffer;
  readonly names: readonly string[];
}

export function isDirectory({ mode }: Pick<Attributes, "mode">): boolean {
  return (mode & S_IFMT) === S_IFDIR;
}

export function isFile({ mode }: Pick<Attributes, "mode">): boolean {
  return (mode & S_IFMT) === S_IFREG;
}

/** The contents at a name, if it is the file's only name. */
export function lastContents(vfs: FileSystem, parent: Ino, name: FileName): Buffer | undefined {
  const attributes = vfs.lookup(parent, name);
  return attributes === undefined || attributes.nlink > 1 ? undefined : contentsOf(vfs, attributes);
}

export function contentsOf(vfs: FileSystem, { ino, mode, size }: Attributes): Buffer {
  if ((mode & S_IFMT) === S_IFLNK) return Buffer.from(vfs.readSymlink(ino), "latin1");
  if ((mode & S_IFMT) !== S_IFREG) return Buffer.alloc(0);
  const target = Buffer.alloc(Math.min(size, MOST_BYTES));
  return target.subarray(0, vfs.read(ino, 0, target.length, target));
}

/** The most bytes of a file that are ever read. */
const MOST_BYTES = 1 << 20;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
