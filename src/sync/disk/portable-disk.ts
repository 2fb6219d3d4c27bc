/**
 * A real folder through Node.js alone, for systems without the addon. Each call first checks every component of its path
 * and refuses links. Swapping a directory for a link between check and action still works; beneath-disk.ts prevents that.
 */
import * as fs from "node:fs/promises";
import { unlinkSync, type BigIntStats } from "node:fs";
import { SynclineError } from "../../base/errors.ts";
import type { FileName } from "../../base/ids.ts";
import { heldInRange } from "../../base/nanoseconds.ts";
import { failedWith, systemFailure } from "../../base/system-errors.ts";
import { NO_XATTRS, type FileType, type Xattrs } from "../../format/files/record.ts";
import { loadFileAddon } from "../../runtime/native.ts";
import { NO_LINKS, readUpTo, startOf, syncFolder, systemDisk, writeParts } from "../../objects/disk.ts";
import {
  NOT_THERE,
  UNKNOWN,
  type ListedEntry,
  type DiskFile,
  type DiskPath,
  type DiskStat,
  type RenameHow,
  type SyncDisk,
} from "./disk.ts";
import { isOwn, leftPath } from "./paths.ts";
import { isWindowsName } from "./windows-names.ts";

/** Sets an mtime as exactly as this machine can; a link's own. */
export type SetModified = (path: Buffer, mtimeNs: bigint) => Promise<void>;

export class PortableDisk implements SyncDisk {
  readonly boot = undefined;
  readonly hasXattrs = false;
  readonly #root: string;
  readonly #setModified: SetModified;

  constructor(root: string, setModified: SetModified = setModifiedByNode) {
    this.#root = root;
    this.#setModified = setModified;
  }

  async open(): Promise<void> {
    const stat = await fs.stat(this.#root);
    if (!stat.isDirectory()) throw systemFailure("ENOTDIR", this.#root);
  }

  close(): void {}

  async look(path: DiskPath): Promise<DiskStat | undefined> {
    try {
      return statOf(await fs.lstat(await this.#resolve(path), { bigint: true }));
    } catch (error) {
      if (failedWith(error, ...NOT_THERE)) return undefined;
      throw error;
    }
  }

  async list(path: DiskPath): Promise<ListedEntry[]> {
    const directory = await this.#resolveDirectory(path);
    const names = await fs.readdir(directory, { encoding: "buffer" });
    const looks = names.map((name) => fs.lstat(Buffer.concat([directory, SLASH, name]), { bigint: true }));
    const failures: unknown[] = [];
    const entries = (await Promise.allSettled(looks)).flatMap((look, index) => {
      if (look.status === "rejected" && failedWith(look.reason, "ENOENT")) return [];
      if (look.status === "rejected") failures.push(look.reason);
      const stat = look.status === "rejected" ? UNKNOWN : statOf(look.value);
      return [{ name: names[index]?.toString("latin1") as FileName, stat }];
    });
    if (failures.length > 0 && failures.length === entries.length) throw failures[0];
    return entries;
  }

  async readLink(path: DiskPath): Promise<string> {
    return (await fs.readlink(await this.#resolve(path), { encoding: "buffer" })).toString("latin1");
  }

  async read(path: DiskPath): Promise<DiskFile> {
    return openToRead(await this.#resolve(path));
  }

  async create(path: DiskPath): Promise<DiskFile> {
    return openFile(await fs.open(await this.#resolve(path), "wx+", 0o600));
  }

  async makeDirectory(path: DiskPath): Promise<void> {
    await fs.mkdir(await this.#resolve(path), 0o700);
  }

  async makeSymlink(path: DiskPath, target: string): Promise<void> {
    await fs.symlink(Buffer.from(target, "latin1"), await this.#resolve(path));
  }

  async link(from: DiskPath, to: DiskPath): Promise<void> {
    await fs.link(await this.#resolve(from), await this.#resolve(to));
  }

  async rename(from: DiskPath, to: DiskPath, how: RenameHow): Promise<void> {
    if (how === "exchange") throw systemFailure("EINVAL", "exchange");
    const [source, target] = [await this.#resolve(from), await this.#resolve(to)];
    if (how === "replace") return fs.rename(source, target);
    const { type, ino } = statOf(await fs.lstat(source, { bigint: true }));
    // Nobody else makes names in the folder's own directory.
    if (type === "file" && !isOwn(to) && (await isLinked(source, target)))
      return isOwn(from) ? fs.unlink(source) : this.#leave(from, ino);
    if ((await fs.lstat(target).catch(ifGone)) !== undefined) throw systemFailure("EEXIST", target.toString());
    await fs.rename(source, target);
  }

  /**
   * Removes the old name of a file that has a new one. What a program has put there meanwhile returns; if the process dies
   * first, `clearIncoming` returns it.
   */
  async #leave(from: DiskPath, ino: bigint): Promise<void> {
    const source = await this.#resolve(from);
    const aside = await this.#resolve(leftPath(ino)).catch(ifGone);
    if (aside === undefined) return fs.unlink(source);
    await fs.rename(source, aside);
    if ((await fs.lstat(aside, { bigint: true })).ino === ino) return fs.unlink(aside);
    try {
      await this.rename(leftPath(ino), from, "free");
    } catch (error) {
      if (!failedWith(error, "EEXIST")) throw error;
      // The program has saved once more.
      await fs.unlink(aside);
    }
  }

  async unlink(path: DiskPath): Promise<void> {
    await fs.unlink(await this.#resolve(path));
  }

  unlinkNow(path: DiskPath): void {
    unlinkSync(Buffer.concat([Buffer.from(this.#root), ...path.flatMap((name) => [SLASH, bytesOf(name)])]));
  }

  async removeDirectory(path: DiskPath): Promise<void> {
    await fs.rmdir(await this.#resolve(path));
  }

  async setMode(path: DiskPath, mode: number): Promise<void> {
    const target = await this.#resolve(path);
    if ((await fs.lstat(target)).isSymbolicLink()) throw systemFailure("ELOOP", target.toString());
    await fs.chmod(target, mode);
  }

  async setOwner(path: DiskPath, uid: number, gid: number): Promise<void> {
    await fs.lchown(await this.#resolve(path), uid, gid);
  }

  async setModified(path: DiskPath, mtimeNs: bigint): Promise<void> {
    await this.#setModified(await this.#resolve(path), mtimeNs);
  }

  async xattrs(): Promise<Xattrs> {
    return NO_XATTRS;
  }

  async setXattrs(): Promise<void> {
    throw systemFailure("ENOTSUP", "extended attributes");
  }

  async syncDirectory(path: DiskPath): Promise<void> {
    await syncFolder(systemDisk, (await this.#resolveDirectory(path)).toString("utf8"));
  }

  /** Checks that every parent is a real directory, then answers the path. */
  async #resolve(path: DiskPath): Promise<Buffer> {
    const name = path.at(-1);
    if (name === undefined) return Buffer.from(this.#root);
    return Buffer.concat([await this.#resolveDirectory(path.slice(0, -1)), SLASH, bytesOf(name)]);
  }

  async #resolveDirectory(path: DiskPath): Promise<Buffer> {
    let at = Buffer.from(this.#root);
    for (const name of path) {
      at = Buffer.concat([at, SLASH, bytesOf(name)]);
      const stat = await fs.lstat(at);
      if (stat.isSymbolicLink()) throw systemFailure("ELOOP", at.toString());
      if (!stat.isDirectory()) throw systemFailure("ENOTDIR", at.toString());
    }
    return at;
  }
}

export function statOf(stat: BigIntStats): DiskStat {
  const { uid, gid, mode, size, mtimeNs, ctimeNs, birthtimeNs, ino, dev, nlink } = stat;
  const type = typeOf(stat);
  return {
    type,
    mode: Number(mode) & 0o7777,
    uid: Number(uid),
    gid: Number(gid),
    size: type === "directory" ? 0 : Number(size),
    mtimeNs: heldInRange(mtimeNs),
    ctimeNs: heldInRange(ctimeNs),
    birthNs: heldInRange(birthtimeNs),
    ino,
    dev,
    links: Number(nlink),
    isMounted: false,
  };
}

/** Opens any file, not through a link. */
export async function openToRead(path: string | Buffer): Promise<DiskFile> {
  const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = fs.constants;
  return openFile(await fs.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
}

function openFile(handle: fs.FileHandle): DiskFile {
  const { dataFrom } = (addon ??= loadFileAddon());
  return {
    zerosAt: dataFrom && ((offset) => dataFrom(handle.fd, offset) - offset),
    stat: async () => statOf(await handle.stat({ bigint: true })),
    read: (offset, length, target) => readUpTo(handle, offset, length, startOf(target, length)),
    write: (offset, ...parts) => writeParts(handle, offset, parts),
    truncate: (size) => handle.truncate(size),
    sync: () => handle.sync(),
    close: () => handle.close(),
  };
}

function typeOf(stat: BigIntStats): FileType {
  if (stat.isFile()) return "file";
  if (stat.isDirectory()) return "directory";
  if (stat.isSymbolicLink()) return "symlink";
  if (stat.isFIFO()) return "fifo";
  if (stat.isSocket()) return "socket";
  return stat.isCharacterDevice() ? "char" : "block";
}

/** A name for the system; refuses what it would take for a path, a device or another name. */
function bytesOf(name: FileName): Buffer {
  const bytes = Buffer.from(name, "latin1");
  const isPath = name === "." || name === ".." || name.includes("/");
  if (isPath || (process.platform === "win32" && !isWindowsName(name)))
    throw new SynclineError("name_invalid", `${JSON.stringify(name)} is not a valid file name on this system.`);
  return bytes;
}

async function setModifiedByNode(path: Buffer, mtimeNs: bigint): Promise<void> {
  await fs.lutimes(path, Number(mtimeNs) / 1e9, Number(mtimeNs) / 1e9);
}

/** False: this disk has no links. */
async function isLinked(source: Buffer, target: Buffer): Promise<boolean> {
  try {
    await fs.link(source, target);
    return true;
  } catch (error) {
    if (failedWith(error, ...NO_LINKS)) return false;
    throw error;
  }
}

function ifGone(error: unknown): undefined {
  if (!failedWith(error, "ENOENT")) throw error;
}

let addon: ReturnType<typeof loadFileAddon> | undefined;
const SLASH = Buffer.from("/");
