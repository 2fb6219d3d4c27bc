/**
 * A mount as programs see it through the kernel, without a kernel. It caches names, absences, attributes, contents and
 * listings forever, as the FUSE door allows, until the filesystem invalidates them. Paths are text without a leading slash.
 */
import { ERRNO } from "../base/errno.ts";
import { SynclineError } from "../base/errors.ts";
import { type FileName, type Ino, ROOT_INO } from "../base/ids.ts";
import { nameFromText } from "../base/names.ts";
import type { DoorViews } from "../vfs/door-views.ts";
import { type Attributes, type FileSystem, FsError, type Invalidations, RENAME_EXCHANGE } from "../vfs/filesystem.ts";
import type { Vfs } from "../vfs/vfs.ts";
import { KernelCaches, nameKey } from "./kernel-caches.ts";
import { contentsOf, isDirectory, isFile, lastContents, type Shown } from "./judges/shown.ts";
import { CALLER, VfsDriver } from "./vfs-driver.ts";

type Slot = readonly [parent: Ino, name: FileName];

export class KernelMount {
  /** Whether to check a directory's link count against its subdirectories. A damaged row may state any count. */
  countsAreRight = true;
  readonly #vfs: Vfs;
  readonly #driver: VfsDriver<FileSystem>;
  readonly #caches = new KernelCaches();

  /** Invalidations that arrive during a change wait until it ends, as they wait for the kernel's locks. */
  #isChanging = false;
  readonly #waiting: Invalidations[] = [];

  /** `views`: given if the agent has several doors. */
  constructor(vfs: Vfs, views?: DoorViews) {
    this.#vfs = vfs;
    const fs = views?.open((changes) => this.invalidate(changes)).fs ?? vfs;
    this.#driver = new VfsDriver(fs);
    if (views === undefined) vfs.onInvalidate((changes) => this.invalidate(changes));
    fs.watchOrphans(() => {});
  }

  /** Takes changes made elsewhere. Like the FUSE door, it adds the directories of changed names. */
  invalidate({ entries, inodes, all }: Invalidations): void {
    const changes = { entries, inodes: [...inodes, ...entries.map(({ parent }) => parent)], all };
    if (this.#isChanging) this.#waiting.push(changes);
    else this.#caches.forget(changes);
  }

  /** Forgets everything, so that it is asked for again. */
  dropCaches(): void {
    this.#caches.clear();
  }

  /** Undefined when the path does not exist. A file may have replaced one of its directories since the last call. */
  async show(path: string): Promise<Shown | undefined> {
    try {
      return await this.#retried(async () => {
        const ino = await this.#walk(path);
        const attributes = await this.#attributesOf(ino);
        const names = isDirectory(attributes) ? await this.#list(ino) : [];
        return { attributes, contents: await this.#read(ino), names };
      });
    } catch (error) {
      if (error instanceof FsError && NO_PATH.has(error.errno)) return undefined;
      throw error;
    }
  }

  stat(path: string): Promise<Attributes> {
    return this.#retried(async () => this.#attributesOf(await this.#walk(path)));
  }

  list(path: string): Promise<string[]> {
    return this.#retried(async () => this.#list(await this.#walk(path)));
  }

  /** The first bytes of a file, or a symlink's target. */
  readSome(path: string): Promise<Buffer> {
    return this.#retried(async () => {
      const attributes = await this.#attributesOf(await this.#walk(path));
      return this.#driver.run((vfs) => contentsOf(vfs, attributes));
    });
  }

  /** Creates a file at an unused name; `bytes` are written in a separate call. */
  create(path: string, bytes: Uint8Array): Promise<void> {
    return this.#change(path, undefined, async ([parent, name]) => {
      if ((await this.#lookup(parent, name)) !== undefined) throw new FsError(ERRNO.EEXIST, "exists");
      const made = await this.#call((vfs) => vfs.makeNode(parent, name, 0o100644, 0, CALLER), [parent]);
      this.#caches.know(parent, name, made);
      await this.#write(made.ino, 0, bytes);
    });
  }

  /** As O_TMPFILE and linkat do. */
  createUnnamed(path: string, bytes: Uint8Array): Promise<void> {
    return this.#change(path, undefined, async ([parent, name]) => {
      const { ino } = await this.#call((vfs) => vfs.makeUnnamed(parent, 0o600, CALLER), []);
      await this.#write(ino, 0, bytes);
      if ((await this.#lookup(parent, name)) !== undefined) throw new FsError(ERRNO.EEXIST, "exists");
      this.#caches.know(parent, name, await this.#call((vfs) => vfs.link(ino, parent, name), [parent]));
    });
  }

  makeDirectory(path: string): Promise<void> {
    return this.#change(path, undefined, async ([parent, name]) => {
      if ((await this.#lookup(parent, name)) !== undefined) throw new FsError(ERRNO.EEXIST, "exists");
      this.#caches.know(
        parent,
        name,
        await this.#call((vfs) => vfs.makeDirectory(parent, name, 0o755, CALLER), [parent]),
      );
    });
  }

  makeSymlink(path: string, target: string): Promise<void> {
    return this.#change(path, undefined, async ([parent, name]) => {
      if ((await this.#lookup(parent, name)) !== undefined) throw new FsError(ERRNO.EEXIST, "exists");
      this.#caches.know(
        parent,
        name,
        await this.#call((vfs) => vfs.makeSymlink(parent, name, target, CALLER), [parent]),
      );
    });
  }

  /** Truncates the file to `size` if given, then writes; `change` gets the contents of that moment. */
  edit(path: string, change: (before: Buffer) => { offset: number; bytes: Uint8Array; size?: number }): Promise<void> {
    return this.#change(path, undefined, async (place) => {
      const ino = await this.#present(place);
      await this.#regular(ino);
      let before: Buffer | undefined;
      await this.#call(
        (vfs) => {
          const attributes = vfs.getAttributes(ino);
          // Another door removed its last name: a write would be lost.
          if (attributes.nlink === 0) throw new FsError(ERRNO.ENOENT, "no such name");
          before ??= contentsOf(vfs, attributes);
          const { offset, bytes, size } = change(before);
          if (size !== undefined) vfs.setAttributes(ino, { size });
          if (bytes.length > 0) vfs.write(ino, offset, bytes);
        },
        [ino],
      );
    });
  }

  /** `synced` gets the contents that survive power loss from now on. */
  async fsync(path: string, synced: (contents: Buffer) => void): Promise<void> {
    await this.#retried(async () => {
      const ino = await this.#walk(path);
      await this.#regular(ino);
      const contents = await this.#read(ino);
      await this.#driver.vfs.fsync(ino);
      synced(contents);
    });
  }

  chmod(path: string, mode: number): Promise<void> {
    return this.#change(path, undefined, async (place) => {
      const ino = await this.#present(place);
      await this.#call((vfs) => vfs.setAttributes(ino, { mode }), [ino]);
    });
  }

  setXattr(path: string, name: string, value: Uint8Array): Promise<void> {
    return this.#change(path, undefined, async (place) => {
      const ino = await this.#present(place);
      await this.#call((vfs) => vfs.setXattr(ino, name, value, 0), [ino]);
    });
  }

  link(path: string, to: string): Promise<void> {
    return this.#change(path, to, async (place, [parent, name]) => {
      const ino = await this.#present(place);
      if (isDirectory(await this.#attributesOf(ino))) throw new FsError(ERRNO.EPERM, "a directory");
      if ((await this.#lookup(parent, name)) !== undefined) throw new FsError(ERRNO.EEXIST, "exists");
      this.#caches.know(parent, name, await this.#call((vfs) => vfs.link(ino, parent, name), [parent, ino]));
    });
  }

  /** `gone` gets the contents of a file whose last name the rename removed. */
  rename(path: string, to: string, exchange = false, gone: (contents: Buffer) => void = () => {}): Promise<void> {
    return this.#change(path, to, async ([parent, name], [newParent, newName]) => {
      const ino = await this.#present([parent, name]);
      const other = await this.#lookup(newParent, newName);
      if (exchange && other === undefined) throw new FsError(ERRNO.ENOENT, "nothing to exchange");
      const touched = [parent, newParent, ino, ...(other === undefined ? [] : [other])];
      await this.#call((vfs) => {
        const stays = exchange || vfs.lookup(parent, name)?.ino === vfs.lookup(newParent, newName)?.ino;
        const lost = stays ? undefined : lastContents(vfs, newParent, newName);
        vfs.rename(parent, name, newParent, newName, exchange ? RENAME_EXCHANGE : 0);
        if (lost !== undefined) gone(lost);
      }, touched);
      if (ino === other) return;
      this.#caches.names.set(nameKey(parent, name), exchange ? other : undefined);
      this.#caches.names.set(nameKey(newParent, newName), ino);
    });
  }

  /** `gone` as for `rename`. */
  unlink(path: string, gone: (contents: Buffer) => void = () => {}): Promise<void> {
    return this.#change(path, undefined, async ([parent, name]) => {
      const ino = await this.#present([parent, name]);
      if (isDirectory(await this.#attributesOf(ino))) throw new FsError(ERRNO.EISDIR, "a directory");
      await this.#call(
        (vfs) => {
          const lost = lastContents(vfs, parent, name);
          vfs.unlink(parent, name);
          if (lost !== undefined) gone(lost);
        },
        [parent, ino],
      );
      this.#caches.names.set(nameKey(parent, name), undefined);
    });
  }

  removeDirectory(path: string): Promise<void> {
    return this.#change(path, undefined, async ([parent, name]) => {
      const ino = await this.#present([parent, name]);
      if (!isDirectory(await this.#attributesOf(ino))) throw new FsError(ERRNO.ENOTDIR, "not a directory");
      await this.#call((vfs) => vfs.removeDirectory(parent, name), [parent, ino]);
      this.#caches.names.set(nameKey(parent, name), undefined);
    });
  }

  async #change(path: string, to: string | undefined, work: (at: Slot, to: Slot) => Promise<void>): Promise<void> {
    this.#isChanging = true;
    try {
      await this.#retried(async () => {
        const at = await this.#place(path);
        await work(at, to === undefined ? at : await this.#place(to));
      });
    } finally {
      this.#driver.vfs.persist();
      this.#isChanging = false;
      for (const changes of this.#waiting.splice(0)) this.#caches.forget(changes);
    }
  }

  /** Retries once with fresh lookups if a cached name was stale. */
  async #retried<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof FsError) || error.errno !== ERRNO.ESTALE) throw error;
      this.#caches.names.clear();
      return work();
    }
  }

  /** Makes a call that changes these inodes, and forgets what was cached about them. */
  async #call<Result>(call: (vfs: FileSystem) => Result, changed: readonly Ino[]): Promise<Result> {
    try {
      return await this.#driver.run(call);
    } finally {
      // After a failure, too: this call stands for several kernel requests, and some of them may have succeeded.
      for (const ino of changed) this.#caches.forgetInode(ino);
    }
  }

  async #write(ino: Ino, offset: number, bytes: Uint8Array): Promise<void> {
    if (bytes.length > 0) await this.#call((vfs) => vfs.write(ino, offset, bytes), [ino]);
  }

  async #place(path: string): Promise<Slot> {
    const at = path.lastIndexOf("/");
    const parent = await this.#walk(path.slice(0, Math.max(at, 0)));
    if (!isDirectory(await this.#attributesOf(parent))) throw new FsError(ERRNO.ENOTDIR, "not a directory");
    return [parent, nameFromText(path.slice(at + 1))];
  }

  async #walk(path: string): Promise<Ino> {
    let at: Ino = ROOT_INO;
    for (const part of path.split("/").filter(Boolean)) {
      if (!isDirectory(await this.#attributesOf(at))) throw new FsError(ERRNO.ENOTDIR, "not a directory");
      at = await this.#present([at, nameFromText(part)]);
    }
    return at;
  }

  async #present([parent, name]: Slot): Promise<Ino> {
    const ino = await this.#lookup(parent, name);
    if (ino === undefined) throw new FsError(ERRNO.ENOENT, "no such name");
    return ino;
  }

  async #lookup(parent: Ino, name: FileName): Promise<Ino | undefined> {
    const key = nameKey(parent, name);
    if (!this.#caches.names.has(key)) {
      // The kernel holds the directory's lock here, so invalidations wait until it knows the answer.
      return this.#driver.run((vfs) => {
        const found = vfs.lookup(parent, name);
        if (found !== undefined) this.#caches.attributes.set(found.ino, found);
        this.#caches.names.set(key, found?.ino);
        return found?.ino;
      });
    }
    return this.#caches.names.get(key);
  }

  async #attributesOf(ino: Ino): Promise<Attributes> {
    const known = this.#caches.attributes.get(ino);
    if (known !== undefined) return known;
    return this.#driver.run((vfs) => {
      const attributes = vfs.getAttributes(ino);
      this.#caches.attributes.set(ino, attributes);
      return attributes;
    });
  }

  async #regular(ino: Ino): Promise<Attributes> {
    const attributes = await this.#attributesOf(ino);
    if (isDirectory(attributes)) throw new FsError(ERRNO.EISDIR, "a directory");
    if (!isFile(attributes)) throw new FsError(ERRNO.ELOOP, "a symlink");
    return attributes;
  }

  async #read(ino: Ino): Promise<Buffer> {
    const known = this.#caches.contents.get(ino);
    if (known !== undefined) return known;
    return this.#driver.run((vfs) => {
      const contents = contentsOf(vfs, vfs.getAttributes(ino));
      this.#caches.contents.set(ino, contents);
      return contents;
    });
  }

  /** The names in a directory. Checks that its link count matches its subdirectories. */
  async #list(ino: Ino, looks = 1): Promise<string[]> {
    const known = this.#caches.listings.get(ino);
    if (known !== undefined) return known;
    const base = this.#vfs.baseState();
    const entries = await this.#driver.entriesOf(ino, 5);
    const names = entries.map(({ name }) => name);
    const { nlink } = await this.#driver.run((vfs) => vfs.getAttributes(ino));
    // A listing takes several calls: if the base changed between them, it must not be cached.
    if (base !== this.#vfs.baseState()) return names;
    const expected = 2 + entries.filter((entry) => entry.isDirectory).length;
    // Another door may have changed the directory between the calls.
    if (nlink !== expected && looks < MOST_LOOKS) return this.#list(ino, looks + 1);
    if (this.countsAreRight && nlink !== expected && nlink !== 0)
      throw new SynclineError("internal", `directory ${ino} has ${nlink} links, not ${expected}`);
    this.#caches.listings.set(ino, names);
    return names;
  }
}

const MOST_LOOKS = 3;
const NO_PATH: ReadonlySet<number> = new Set([ERRNO.ENOENT, ERRNO.ENOTDIR]);
