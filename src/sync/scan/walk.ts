/** Everything that is in the folder now, as lstat shows it, from the root down. Reads no contents and follows no link. */
import type { FileName } from "../../base/ids.ts";
import { failedWith } from "../../objects/disk.ts";
import type { DiskEntry, DiskPath, DiskStat, SyncDisk } from "../disk/disk.ts";
import type { IgnoreRules } from "./ignore-rules.ts";

/** Something that is there. */
export interface Found {
  readonly path: DiskPath;
  readonly stat: DiskStat;
  /** Undefined: the root. */
  readonly parent: Found | undefined;
  readonly name: FileName;
  /** Of a directory. */
  readonly children: readonly Found[];
  /** A directory whose entries are not known: it could not be read, or another filesystem is mounted on it. */
  readonly closed: boolean;
}

export interface Walked {
  readonly root: Found;
  /** Paths of fifos, sockets and devices, which are not synced. */
  readonly special: readonly DiskPath[];
  /** Directories on which something else is mounted. */
  readonly mounts: readonly DiskPath[];
  /** Directories that could not be read. */
  readonly unreadable: readonly DiskPath[];
}

/** Throws what listing the root does. A directory below that cannot be read is `closed`: what is in it is not known. */
export async function walk(disk: SyncDisk, rules: IgnoreRules): Promise<Walked> {
  const walker = new Walker(disk, rules);
  const stat = await disk.look([]);
  const entries = await disk.list([]);
  if (stat === undefined) throw new RangeError("The root was listed, but is not there.");
  const root = await walker.directory([], stat, undefined, "" as FileName, entries, stat.dev);
  const { special, mounts, unreadable } = walker;
  return { root, special, mounts, unreadable };
}

class Walker {
  readonly special: DiskPath[] = [];
  readonly mounts: DiskPath[] = [];
  readonly unreadable: DiskPath[] = [];
  readonly #disk: SyncDisk;
  readonly #rules: IgnoreRules;

  constructor(disk: SyncDisk, rules: IgnoreRules) {
    this.#disk = disk;
    this.#rules = rules;
  }

  async directory(
    path: DiskPath,
    stat: DiskStat,
    parent: Found | undefined,
    name: FileName,
    entries: readonly DiskEntry[],
    dev: bigint,
  ): Promise<Found> {
    const children: Found[] = [];
    const directory: Found = { path, stat, parent, name, children, closed: false };
    for (const entry of entries) {
      const found = await this.#found(path, entry, directory, dev);
      if (found !== undefined) children.push(found);
    }
    return directory;
  }

  async #found(above: DiskPath, entry: DiskEntry, parent: Found | undefined, dev: bigint): Promise<Found | undefined> {
    const { name, stat } = entry;
    const path = [...above, name];
    const isDirectory = stat.type === "directory";
    if (this.#rules.ignores(path, isDirectory)) return undefined;
    if (isDirectory) {
      if (stat.dev !== dev) {
        this.mounts.push(path);
        return { path, stat, parent, name, children: [], closed: true };
      }
      return this.#listed(path, stat, parent, name, dev);
    }
    if (stat.type === "file" || stat.type === "symlink")
      return { path, stat, parent, name, children: [], closed: false };
    this.special.push(path);
    return undefined;
  }

  async #listed(
    path: DiskPath,
    stat: DiskStat,
    parent: Found | undefined,
    name: FileName,
    dev: bigint,
  ): Promise<Found | undefined> {
    let entries: DiskEntry[];
    try {
      entries = await this.#disk.list(path);
    } catch (error) {
      // Removed, or a link put in its place, since its name was read: the next scan sees what is there.
      if (failedWith(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
      if (!failedWith(error, "EACCES", "EPERM", "EIO", "ESTALE", "ENAMETOOLONG")) throw error;
      this.unreadable.push(path);
      return { path, stat, parent, name, children: [], closed: true };
    }
    return this.directory(path, stat, parent, name, entries, dev);
  }
}
