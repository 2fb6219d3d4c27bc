/**
 * Drives a filesystem by path, loading blocks as a door would. Paths are text without a leading slash; "" is the root
 * directory.
 */
import { SynclineError } from "../base/errors.ts";
import { type FileName, type Ino, ROOT_INO } from "../base/ids.ts";
import { nameFromText, nameToText } from "../base/names.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import { cidOf } from "../format/blocks/cid.ts";
import type { Attributes, FileSystem } from "../vfs/filesystem.ts";
import type { Vfs } from "../vfs/vfs.ts";

export const CALLER = { uid: 0, gid: 0 };

export class VfsDriver<Fs extends FileSystem = Vfs> {
  vfs: Fs;

  constructor(vfs: Fs) {
    this.vfs = vfs;
  }

  /** Repeats the call until no block is missing. */
  async run<Result>(call: (vfs: Fs) => Result): Promise<Result> {
    for (;;) {
      try {
        return call(this.vfs);
      } catch (error) {
        if (!(error instanceof BlockMiss)) throw error;
        await this.vfs.load(error.cids);
      }
    }
  }

  async find(path: string): Promise<Attributes | undefined> {
    let at: Attributes | undefined = await this.run((vfs) => vfs.getAttributes(ROOT_INO));
    for (const part of path.split("/").filter(Boolean)) {
      const parent: Attributes | undefined = at;
      if (parent === undefined) return undefined;
      at = await this.run((vfs) => vfs.lookup(parent.ino, nameFromText(part)));
    }
    return at;
  }

  async ino(path: string): Promise<Ino> {
    const found = await this.find(path);
    if (found === undefined) throw new SynclineError("internal", `${path} does not exist`);
    return found.ino;
  }

  /** The directory of a path, and its name there. */
  async place(path: string): Promise<readonly [Ino, FileName]> {
    const parts = path.split("/");
    const name = nameFromText(parts.pop() ?? "");
    return [await this.ino(parts.join("/")), name];
  }

  async make(path: string, text?: string): Promise<Ino> {
    const [parent, name] = await this.place(path);
    const { ino } = await this.run((vfs) => vfs.makeNode(parent, name, 0o100644, 0, CALLER));
    if (text !== undefined) await this.write(ino, 0, text);
    return ino;
  }

  async makeDirectory(path: string): Promise<Ino> {
    const [parent, name] = await this.place(path);
    return (await this.run((vfs) => vfs.makeDirectory(parent, name, 0o755, CALLER))).ino;
  }

  async unlink(path: string): Promise<void> {
    const [parent, name] = await this.place(path);
    await this.run((vfs) => vfs.unlink(parent, name));
  }

  async rename(from: string, to: string, flags = 0): Promise<void> {
    const [parent, name] = await this.place(from);
    const [newParent, newName] = await this.place(to);
    await this.run((vfs) => vfs.rename(parent, name, newParent, newName, flags));
  }

  async write(ino: Ino, offset: number, bytes: string | Uint8Array): Promise<void> {
    const data = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
    await this.run((vfs) => vfs.write(ino, offset, data));
  }

  async read(ino: Ino, offset = 0, length = 1 << 20): Promise<Buffer> {
    const target = Buffer.alloc(length);
    return target.subarray(0, await this.run((vfs) => vfs.read(ino, offset, length, target)));
  }

  async text(path: string): Promise<string> {
    return (await this.read(await this.ino(path))).toString();
  }

  /** Names in a directory, without the dots, read `batch` at a time. */
  async list(path: string, batch = 1_000): Promise<string[]> {
    return this.listInode(await this.ino(path), batch);
  }

  async listInode(ino: Ino, batch = 1_000): Promise<string[]> {
    return (await this.entriesOf(ino, batch)).map(({ name }) => name);
  }

  /** The entries of a directory, without the dots, read `batch` at a time. */
  async entriesOf(ino: Ino, batch = 1_000): Promise<{ readonly name: string; readonly isDirectory: boolean }[]> {
    const entries: { name: string; isDirectory: boolean }[] = [];
    for (let cookie = 0, more = true; more;) {
      more = false;
      let left = batch;
      const emit = (entry: { name: FileName; mode: number; next: number }) => {
        if (left-- === 0) return false;
        more = true;
        cookie = entry.next;
        entries.push({ name: nameToText(entry.name), isDirectory: (entry.mode & S_IFMT) === S_IFDIR });
        return true;
      };
      const before = cookie;
      try {
        this.vfs.readDirectory(ino, before, true, emit);
      } catch (error) {
        if (!(error instanceof BlockMiss)) throw error;
        await this.vfs.load(error.cids);
        more = true;
      }
    }
    return entries.filter(({ name }) => name !== "." && name !== "..");
  }

  /** Everything that the filesystem shows: path → description. Inode numbers identify hard links. */
  async snapshot(): Promise<Map<string, string>> {
    const seen = new Map<string, string>();
    const walk = async (path: string): Promise<void> => {
      const at = await this.find(path);
      if (at === undefined)
        throw new SynclineError("internal", `the listing names ${path}, but the lookup does not find it`);
      seen.set(path, await this.#describe(at));
      if ((at.mode & S_IFMT) !== S_IFDIR) return;
      for (const name of await this.list(path, 7)) await walk(path === "" ? name : `${path}/${name}`);
    };
    await walk("");
    return seen;
  }

  async #describe(at: Attributes): Promise<string> {
    const { ino, mode, nlink, uid, gid, rdev, size, mtimeNs } = at;
    const facts = [ino, mode.toString(8), nlink, uid, gid, rdev, size, mtimeNs];
    if ((mode & S_IFMT) === S_IFREG) facts.push(cidOf("raw", await this.read(ino, 0, size)));
    if ((mode & S_IFMT) === S_IFLNK) facts.push(await this.run((vfs) => vfs.readSymlink(ino)));
    for (const name of await this.run((vfs) => vfs.listXattrs(ino)))
      facts.push(`${name}=${Buffer.from((await this.run((vfs) => vfs.getXattr(ino, name))) ?? []).toString("hex")}`);
    return facts.join(" ");
  }
}

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
