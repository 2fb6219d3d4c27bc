/**
 * A real folder on Linux. openat2(2) opens every path beneath the root without following links, and actions use that
 * descriptor and one name. A link swapped in for a directory, at any moment, leads nowhere.
 */
import { closeSync, constants, fsync, openSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { FileName } from "../../base/ids.ts";
import { failedWith, systemFailure } from "../../base/system-errors.ts";
import { MAX_XATTR_BYTES } from "../../base/limits.ts";
import { xattrBytes } from "../../format/blocks/linked-value.ts";
import { NO_XATTRS, type Xattrs } from "../../format/files/record.ts";
import { copyAcl, groupRights, setModeBesideList } from "./access-list.ts";
import { coded, codedLater, type BeneathAddon } from "./addon.ts";
import { DescriptorAppended, markedBy, openFile } from "./beneath-file.ts";
import {
  NOT_THERE,
  type AppendFile,
  UNKNOWN,
  type ListedEntry,
  type DiskFile,
  type DiskPath,
  type DiskStat,
  type NewFile,
  type Placed,
  type RenameHow,
  type SyncDisk,
  type WholeFile,
} from "./disk.ts";
import { pathText } from "./paths.ts";
import { COLUMNS, statOf, timeOf } from "./stat-rows.ts";

export interface BeneathOptions {
  /** Also handles extended attributes outside user.*. */
  readonly allXattrs: boolean;
  /** The port's `boot` for the disk that has this path. */
  readonly bootAt?: (path: string) => Promise<string | undefined>;
}

export class BeneathDisk implements SyncDisk {
  readonly hasXattrs = true;
  readonly readAll: SyncDisk["readAll"];
  readonly areBare: SyncDisk["areBare"];
  readonly createAll: SyncDisk["createAll"];
  readonly placeAll: SyncDisk["placeAll"];
  readonly syncAll: SyncDisk["syncAll"];
  readonly #addon: BeneathAddon;
  readonly #path: string;
  readonly #allXattrs: boolean;
  readonly #bootAt: BeneathOptions["bootAt"];
  boot: string | undefined;
  #root = -1;

  constructor(addon: BeneathAddon, path: string, { allXattrs, bootAt }: BeneathOptions) {
    this.#bootAt = bootAt;
    this.#addon = addon;
    this.#path = path;
    this.#allXattrs = allXattrs;
    const { readFiles, bareFiles, createFiles, placeFiles, syncFilesystem } = addon;
    this.readAll = readFiles && ((files) => this.#readAll(readFiles, files));
    this.areBare = bareFiles && ((paths) => this.#areBare(bareFiles, paths));
    this.placeAll = placeFiles && ((...call) => this.#placeAll(placeFiles, ...call));
    this.syncAll = syncFilesystem && (async () => void (await codedLater(syncFilesystem(this.#root))));
    // New files may have extended attributes outside user.*.
    this.createAll = createFiles && !allXattrs ? (...call) => this.#createAll(createFiles, ...call) : undefined;
  }

  async open(): Promise<void> {
    this.close();
    this.#root = openSync(this.#path, TO_LIST);
    this.boot = await this.#bootAt?.(this.#path);
  }

  close(): void {
    if (this.#root >= 0) closeSync(this.#root);
    this.#root = -1;
  }

  async look(path: DiskPath): Promise<DiskStat | undefined> {
    try {
      const row = this.#at(path, (directory, name) => this.#addon.statAt(directory, name));
      return row === undefined ? undefined : statOf(row, 0);
    } catch (error) {
      if (failedWith(error, ...NOT_THERE, "EXDEV")) return undefined;
      throw error;
    }
  }

  async list(path: DiskPath): Promise<ListedEntry[]> {
    const [names, rows] = this.#opened(path, TO_LIST, (directory) => this.#addon.listAt(directory));
    return names.map((name, index) => {
      const at = index * COLUMNS;
      return { name: name as FileName, stat: rows[at] === 0 ? UNKNOWN : statOf(rows, at) };
    });
  }

  async readLink(path: DiskPath): Promise<string> {
    return this.#at(path, (directory, name) => this.#addon.readLinkAt(directory, name));
  }

  async read(path: DiskPath): Promise<DiskFile> {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants;
    return openFile(this.#addon, this.#open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0));
  }

  async create(path: DiskPath): Promise<DiskFile> {
    const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    return openFile(this.#addon, this.#open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
  }

  async makeDirectory(path: DiskPath): Promise<void> {
    this.#at(path, (directory, name) => this.#addon.makeDirectoryAt(directory, name, 0o700));
  }

  async makeSymlink(path: DiskPath, target: string): Promise<void> {
    this.#at(path, (directory, name) => this.#addon.symlinkAt(directory, name, target));
  }

  async link(from: DiskPath, to: DiskPath): Promise<void> {
    this.#atBoth(from, to, (...places) => this.#addon.linkAt(...places));
  }

  async rename(from: DiskPath, to: DiskPath, how: RenameHow): Promise<void> {
    try {
      this.#atBoth(from, to, (...places) => this.#addon.renameAt(...places, RENAME_FLAGS[how]));
    } catch (error) {
      // Some filesystems support no flags: there another program may slip in between look and rename.
      if (how !== "free" || !failedWith(error, "EINVAL", "ENOSYS", "ENOTSUP")) throw error;
      if ((await this.look(to)) !== undefined) throw Object.assign(new Error("EEXIST"), { code: "EEXIST" });
      this.#atBoth(from, to, (...places) => this.#addon.renameAt(...places, RENAME_FLAGS.replace));
    }
  }

  async unlink(path: DiskPath): Promise<void> {
    this.unlinkNow(path);
  }

  unlinkNow(path: DiskPath): void {
    this.#at(path, (directory, name) => this.#addon.unlinkAt(directory, name, 0));
  }

  async removeDirectory(path: DiskPath): Promise<void> {
    this.#at(path, (directory, name) => this.#addon.unlinkAt(directory, name, 1));
  }

  async setMode(path: DiskPath, mode: number): Promise<void> {
    try {
      this.#opened(path, ITSELF, (descriptor) => setModeBesideList(this.#addon, descriptor, mode));
    } catch (error) {
      // Linux reports this for a symlink, which something put there.
      if (failedWith(error, "ENOTSUP", "EOPNOTSUPP")) throw systemFailure("ELOOP", pathText(path));
      throw error;
    }
  }

  async setOwner(path: DiskPath, uid: number, gid: number): Promise<void> {
    this.#at(path, (directory, name) => this.#addon.setOwnerAt(directory, name, uid, gid));
  }

  async setModified(path: DiskPath, mtimeNs: bigint): Promise<void> {
    this.#at(path, (directory, name) => this.#addon.setModifiedAt(directory, name, ...timeOf(mtimeNs)));
  }

  async xattrs(path: DiskPath): Promise<Xattrs> {
    try {
      const shown = this.#opened(path, ITSELF, (descriptor) => this.#shown(descriptor));
      if (xattrBytes(shown) > MAX_XATTR_BYTES) throw systemFailure("E2BIG", pathText(path));
      return shown;
    } catch (error) {
      if (failedWith(error, "ENOTSUP", "EOPNOTSUPP")) return NO_XATTRS;
      throw error;
    }
  }

  async setXattrs(path: DiskPath, xattrs: Xattrs): Promise<void> {
    this.#opened(path, ITSELF, (descriptor) => {
      const shown = this.#shown(descriptor);
      for (const name of shown.keys()) if (!xattrs.has(name)) this.#addon.removeXattr(descriptor, name);
      for (const [name, value] of xattrs) {
        const is = shown.get(name);
        if (!this.#isShown(name) || (is !== undefined && Buffer.compare(is, value) === 0)) continue;
        this.#addon.setXattr(descriptor, name, Buffer.from(value));
      }
    });
  }

  async groupRights(path: DiskPath): Promise<number | undefined> {
    return this.#opened(path, ITSELF, (descriptor) => groupRights(this.#addon, descriptor));
  }

  async copyAcl(from: DiskPath, to: DiskPath, mode: number): Promise<void> {
    const copied = this.#opened(from, ITSELF, (source) => {
      return this.#opened(to, ITSELF, (target) => copyAcl(this.#addon, source, target));
    });
    // A list brings its file's mode; without it, its mask would be the group's rights.
    if (copied !== "none") await this.setMode(to, copied === "copied" ? mode : mode & ~0o070);
  }

  async syncDirectory(path: DiskPath): Promise<void> {
    const descriptor = this.#open(path, TO_LIST, 0);
    try {
      await fsyncOf(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  openAppend(path: DiskPath): AppendFile {
    try {
      this.#at(path, (directory, name) => this.#addon.unlinkAt(directory, name, 0));
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
    }
    const { O_WRONLY, O_CREAT, O_EXCL, O_APPEND, O_NOFOLLOW } = constants;
    return new DescriptorAppended(this.#open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW, 0o600));
  }

  async #readAll(
    readFiles: NonNullable<BeneathAddon["readFiles"]>,
    files: Parameters<NonNullable<SyncDisk["readAll"]>>[0],
  ): Promise<(WholeFile | undefined)[]> {
    const target = Buffer.allocUnsafeSlow(files.reduce((sum, { size }) => sum + size, 0));
    const paths = files.map(({ path }) => path.join("/"));
    const sizes = Float64Array.from(files, ({ size }) => size);
    const rows = await codedLater(readFiles(this.#root, paths, sizes, target));
    let end = 0;
    return files.map(({ size }, index) => {
      end += size;
      const isRead = rows[index * COLUMNS] !== 0;
      return isRead ? { stat: statOf(rows, index * COLUMNS), bytes: target.subarray(end - size, end) } : undefined;
    });
  }

  async #areBare(bareFiles: NonNullable<BeneathAddon["bareFiles"]>, paths: readonly DiskPath[]): Promise<boolean[]> {
    const texts = paths.map((path) => path.join("/"));
    const told = await codedLater(bareFiles(this.#root, texts, this.#allXattrs ? 1 : 0));
    return Array.from(told, (each) => each === 1);
  }

  async #createAll(
    createFiles: NonNullable<BeneathAddon["createFiles"]>,
    directory: DiskPath,
    files: readonly NewFile[],
    isDurable = true,
  ): Promise<DiskStat[]> {
    const descriptor = this.#open(directory, TO_LIST, 0);
    try {
      const attributes = files.flatMap(({ mode, owner, mtimeNs }) => {
        return [mode, owner === undefined ? 0 : 1, owner?.uid ?? 0, owner?.gid ?? 0, ...timeOf(mtimeNs)];
      });
      const names = files.map(({ name }) => name);
      const contents = files.map(({ bytes }) => bytes);
      const synced = !isDurable ? SYNC_NOTHING : files.length >= TOGETHER ? SYNC_TOGETHER : SYNC_EACH;
      const made = codedLater(createFiles(descriptor, names, contents, Float64Array.from(attributes), synced));
      const rows = await made.catch((error: unknown) => this.#fail(error, directory));
      return files.map((_, index) => statOf(rows, index * COLUMNS));
    } finally {
      closeSync(descriptor);
    }
  }

  async #placeAll(
    placeFiles: NonNullable<BeneathAddon["placeFiles"]>,
    directory: DiskPath,
    files: readonly Placed[],
    marks?: AppendFile,
  ): Promise<(DiskStat | undefined)[]> {
    const descriptor = this.#open(directory, O_PATH | constants.O_DIRECTORY, 0);
    try {
      const names = files.map(({ name }) => name);
      const paths = files.map(({ to }) => to.join("/"));
      const placed = codedLater(placeFiles(this.#root, descriptor, names, paths, markedBy(marks)));
      const rows = await placed.catch((error: unknown) => this.#fail(error, directory));
      return Array.from({ length: rows.length / COLUMNS }, (_, index) => {
        return rows[index * COLUMNS] === 0 ? undefined : statOf(rows, index * COLUMNS);
      });
    } finally {
      closeSync(descriptor);
    }
  }

  #shown(descriptor: number): Map<string, Uint8Array> {
    const shown = new Map<string, Uint8Array>();
    for (const name of this.#addon.listXattrs(descriptor).filter((each) => this.#isShown(each))) {
      const value = this.#addon.getXattr(descriptor, name);
      if (value !== undefined) shown.set(name, value);
    }
    return shown;
  }

  #isShown(name: string): boolean {
    return name.startsWith("user.") || (this.#allXattrs && !name.startsWith("system."));
  }

  #open(path: DiskPath, flags: number, mode: number): number {
    const below = path.length === 0 ? "." : path.join("/");
    return this.#naming(path, () => this.#addon.openBeneath(this.#root, below, flags, mode));
  }

  #opened<Result>(path: DiskPath, flags: number, work: (descriptor: number) => Result): Result {
    const descriptor = this.#open(path, flags, 0);
    try {
      return this.#naming(path, () => work(descriptor));
    } finally {
      closeSync(descriptor);
    }
  }

  /** Runs `work` with the directory of a path and its last name. */
  #at<Result>(path: DiskPath, work: (directory: number, name: string) => Result): Result {
    const name = path.at(-1);
    if (name === undefined || path.length === 1) return this.#naming(path, () => work(this.#root, name ?? ""));
    return this.#opened(path.slice(0, -1), O_PATH | constants.O_DIRECTORY, (directory) => {
      return this.#naming(path, () => work(directory, name));
    });
  }

  #naming<Result>(path: DiskPath, work: () => Result): Result {
    try {
      return coded(work);
    } catch (error) {
      return this.#fail(error, path);
    }
  }

  /** The error names the path, as those of Node.js do. */
  #fail(error: unknown, path: DiskPath): never {
    if (error instanceof Error && !("path" in error)) Object.assign(error, { path: join(this.#path, pathText(path)) });
    throw error;
  }

  #atBoth(from: DiskPath, to: DiskPath, work: (...places: [number, string, number, string]) => void): void {
    this.#at(from, (above, name) => {
      this.#at(to, (below, newName) => work(above, name, below, newName));
    });
  }
}

/** Flags of renameat2(2): RENAME_NOREPLACE, none, RENAME_EXCHANGE. */
const RENAME_FLAGS: Readonly<Record<RenameHow, number>> = { free: 1, replace: 0, exchange: 2 };
/** Node.js does not define it (fcntl.h). */
const O_PATH = 0o10000000;
const TO_LIST = constants.O_RDONLY | constants.O_DIRECTORY;
const ITSELF = O_PATH | constants.O_NOFOLLOW;
/** From this many files on, one sync of the whole filesystem, which also writes others' data; fewer one by one. */
const TOGETHER = 16;
/** How the addon makes new files durable (native/beneath_batch.h). */
const [SYNC_EACH, SYNC_TOGETHER, SYNC_NOTHING] = [0, 1, 2] as const;
const fsyncOf = promisify(fsync);
