/**
 * A folder in memory behind the port of folder sync. Inode numbers are reused as on real disks, times tick in steps, hard
 * links and exchanges work, and the process can die before any of its changes.
 */
import type { FileName } from "../../base/ids.ts";
import { copyOf, failure, nodesBelow, renumber, statOf, textOf, written, zerosAt, type Node } from "./memory-node.ts";
import { NO_XATTRS, type FileType, type Xattrs } from "../../format/files/record.ts";
import type { DiskEntry, DiskFile, DiskPath, DiskStat, RenameHow, SyncDisk } from "../../sync/disk/disk.ts";
import { isWithin } from "../../sync/disk/paths.ts";

export class Crash extends Error {}

export class MemorySyncDisk implements SyncDisk {
  readonly hasXattrs = true;
  boot: string | undefined = "boot 1";
  /** Changes left before the process dies; undefined: it lives. */
  budget: number | undefined;
  /** Runs before each change, so that another actor can change the folder. */
  before: () => void = () => {};
  canExchange = true;
  /** Whether names that differ only in case are equal. */
  foldsCase = false;
  readonly #clockNs: () => bigint;
  #tickedNs = 0n;
  readonly #free: bigint[] = [];
  #lastIno = 10n;
  #root: Node;

  /** `clockNs`: by default, time advances by ticks only. */
  constructor(clockNs: () => bigint = () => 1_700_000_000_000_000_000n) {
    this.#clockNs = clockNs;
    this.#root = this.#node("directory", 0o755);
  }

  /** An image of the disk, as a rebooted machine finds it. */
  copy(): MemorySyncDisk {
    const disk = new MemorySyncDisk(this.#clockNs);
    disk.#root = copyOf(this.#root);
    disk.#free.push(...this.#free);
    disk.#lastIno = this.#lastIno;
    disk.boot = `${this.boot} again`;
    return disk;
  }

  nowNs(): bigint {
    return this.#clockNs() + this.#tickedNs;
  }

  /** Advances time: by less than a real disk's tick, or by much more. */
  tick(ns = 1_000_000n): void {
    this.#tickedNs += ns;
  }

  async open(): Promise<void> {}
  close(): void {}

  async look(path: DiskPath): Promise<DiskStat | undefined> {
    const node = this.#at(path);
    return node && statOf(node);
  }

  async list(path: DiskPath): Promise<DiskEntry[]> {
    const node = this.#directory(path);
    return [...node.children].map(([name, child]) => ({ name: name as FileName, stat: statOf(child) }));
  }

  async readLink(path: DiskPath): Promise<string> {
    return this.#need(path).bytes.toString("latin1");
  }

  async read(path: DiskPath): Promise<DiskFile> {
    const node = this.#need(path);
    if (node.type === "symlink") throw failure("ELOOP");
    if (node.type === "directory") throw failure("EISDIR");
    return this.#file(node);
  }

  async create(path: DiskPath): Promise<DiskFile> {
    this.#change();
    return this.#file(this.#add(path, "file", 0o600));
  }

  async makeDirectory(path: DiskPath): Promise<void> {
    this.#change();
    this.#add(path, "directory", 0o700);
  }

  async makeSymlink(path: DiskPath, target: string): Promise<void> {
    this.#change();
    this.#add(path, "symlink", 0o777).bytes = Buffer.from(target, "latin1");
  }

  async link(from: DiskPath, to: DiskPath): Promise<void> {
    this.#change();
    const node = this.#need(from);
    if (node.type === "directory") throw failure("EPERM");
    this.#attach(to, node);
    node.links++;
    node.ctimeNs = this.nowNs();
  }

  async rename(from: DiskPath, to: DiskPath, how: RenameHow): Promise<void> {
    this.#change();
    this.move(from, to, how);
  }

  /** A rename by another actor, without faults. */
  move(from: DiskPath, to: DiskPath, how: RenameHow = "replace"): void {
    const node = this.#need(from);
    const there = this.#at(to);
    if (how === "exchange" && !this.canExchange) throw failure("EINVAL");
    if (how === "exchange" && there === undefined) throw failure("ENOENT");
    if (how === "free" && there !== undefined) throw failure("EEXIST");
    if (isWithin(to, from) && to.length > from.length) throw failure("EINVAL");
    if (there !== undefined && how === "replace") {
      if (there === node) {
        if (this.#key(from) === this.#key(to)) this.#respell(from, to);
        return;
      }
      if (there.type === "directory" && there.children.size > 0) throw failure("ENOTEMPTY");
      if ((there.type === "directory") !== (node.type === "directory")) throw failure("ENOTDIR");
      this.#detach(to);
    }
    const [above, below] = [this.#directory(from.slice(0, -1)), this.#directory(to.slice(0, -1))];
    above.children.delete(this.#key(from));
    if (how === "exchange" && there !== undefined) {
      above.children.set(this.#key(from), there);
      there.ctimeNs = this.nowNs();
    }
    below.children.set(this.#spelling(below, to), node);
    node.ctimeNs = this.nowNs();
    for (const each of [above, below]) each.mtimeNs = each.ctimeNs = this.nowNs();
  }

  /** Undefined: each file is renamed by itself. */
  placeAll: SyncDisk["placeAll"] = async (directory, files, marks) => {
    const looks: (DiskStat | undefined)[] = [];
    for (const { name, to } of files) {
      try {
        await this.rename([...directory, name], to, "free");
      } catch (error) {
        if (error instanceof Crash) throw error;
        break;
      }
      marks?.append(".");
      looks.push(await this.look(to));
    }
    return looks;
  };

  /** The change and its log entry are atomic: the process does not die in between. */
  openAppend: NonNullable<SyncDisk["openAppend"]> = (path) => {
    if (this.#at(path)?.type === "directory") throw failure("EISDIR");
    if (this.#at(path) !== undefined) this.#detach(path);
    const node = this.#add(path, "file", 0o600);
    const put = (text: string) => void (node.bytes = Buffer.from(text));
    return { append: (text) => put(node.bytes.toString() + text), clear: () => put(""), close: () => {} };
  };

  async unlink(path: DiskPath): Promise<void> {
    this.#change();
    if (this.#need(path).type === "directory") throw failure("EISDIR");
    this.#detach(path);
  }

  async removeDirectory(path: DiskPath): Promise<void> {
    this.#change();
    if (this.#directory(path).children.size > 0) throw failure("ENOTEMPTY");
    this.#detach(path);
  }

  async setMode(path: DiskPath, mode: number): Promise<void> {
    this.#change();
    Object.assign(this.#need(path), { mode, ctimeNs: this.nowNs() });
  }

  async setOwner(path: DiskPath, uid: number, gid: number): Promise<void> {
    this.#change();
    Object.assign(this.#need(path), { uid, gid, ctimeNs: this.nowNs() });
  }

  async setModified(path: DiskPath, mtimeNs: bigint): Promise<void> {
    this.#change();
    Object.assign(this.#need(path), { mtimeNs, ctimeNs: this.nowNs() });
  }

  async xattrs(path: DiskPath): Promise<Xattrs> {
    return this.#need(path).xattrs;
  }

  async setXattrs(path: DiskPath, xattrs: Xattrs): Promise<void> {
    this.#change();
    Object.assign(this.#need(path), { xattrs, ctimeNs: this.nowNs() });
  }

  async syncDirectory(path: DiskPath): Promise<void> {
    this.#directory(path);
  }

  // Actions of people and programs, which no fault stops.

  write(path: DiskPath, text: string): void {
    const node = this.#at(path) ?? this.#add(path, "file", 0o644);
    node.bytes = Buffer.from(text);
    node.mtimeNs = node.ctimeNs = this.nowNs();
  }

  /** Writes to another name first, as editors do when saving. */
  save(path: DiskPath, text: string): void {
    const aside = [...path.slice(0, -1), ".saving~" as FileName];
    this.write(aside, text);
    this.move(aside, path);
  }

  make(path: DiskPath): void {
    this.#add(path, "directory", 0o755);
  }

  /** Lists a directory a second time, beside itself and first, as a bind mount does. */
  mountAgain(path: DiskPath, name: string): void {
    const { children } = this.#directory(path.slice(0, -1));
    const all = [[name, this.#need(path)] as const, ...children];
    children.clear();
    for (const [each, node] of all) children.set(each, node);
  }

  chmod(path: DiskPath, mode: number): void {
    Object.assign(this.#need(path), { mode, ctimeNs: this.nowNs() });
  }

  touch(path: DiskPath): void {
    const node = this.#need(path);
    node.mtimeNs = node.ctimeNs = this.nowNs();
  }

  remove(path: DiskPath): void {
    const node = this.#need(path);
    for (const name of Array.from(node.children.keys())) this.remove([...path, name as FileName]);
    this.#detach(path);
  }

  /** Numbers all inodes anew, as some filesystems do at each mount. */
  renumber(): void {
    renumber(this.#root);
  }

  /** All paths below one, except `.syncline`, with their contents. */
  tree(at: DiskPath = []): Map<string, string> {
    const top = this.#at(at);
    const texts = Array.from(top === undefined ? [] : nodesBelow(top), ([name, node]) => [name, textOf(node)] as const);
    return new Map(texts.filter(([name]) => at.length > 0 || name.split("/")[0] !== ".syncline"));
  }

  #change(): void {
    this.before();
    if (this.budget === undefined) return;
    if (this.budget-- <= 0) throw new Crash("The process died.");
  }

  #file(node: Node): DiskFile {
    return {
      stat: async () => statOf(node),
      read: async (offset, length) => Buffer.from(node.bytes.subarray(offset, offset + length)),
      zerosAt: (offset) => zerosAt(node, offset),
      write: async (offset, ...parts) => {
        this.#change();
        node.bytes = written(node.bytes, offset, Buffer.concat(parts));
        node.mtimeNs = node.ctimeNs = this.nowNs();
      },
      truncate: async (size) => void (node.bytes = Buffer.concat([node.bytes], size)),
      sync: async () => {},
      close: async () => {},
    };
  }

  #add(path: DiskPath, type: FileType, mode: number): Node {
    const node = this.#node(type, mode);
    this.#attach(path, node);
    return node;
  }

  #attach(path: DiskPath, node: Node): void {
    if (this.#at(path) !== undefined) throw failure("EEXIST");
    const above = this.#directory(path.slice(0, -1));
    above.children.set(path.at(-1) ?? "", node);
    above.mtimeNs = above.ctimeNs = this.nowNs();
  }

  #detach(path: DiskPath): void {
    const node = this.#need(path);
    const above = this.#directory(path.slice(0, -1));
    above.children.delete(this.#key(path));
    above.mtimeNs = above.ctimeNs = this.nowNs();
    node.ctimeNs = this.nowNs();
    if (--node.links === 0) this.#free.push(node.ino);
  }

  #node(type: FileType, mode: number): Node {
    const ino = this.#free.pop() ?? ++this.#lastIno;
    const now = this.nowNs();
    const times = { mtimeNs: now, ctimeNs: now, birthNs: now };
    const empty = { bytes: Buffer.alloc(0), xattrs: NO_XATTRS, children: new Map<string, Node>() };
    return { type, ino, mode, uid: 0, gid: 0, links: 1, ...times, ...empty };
  }

  #at(path: DiskPath): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const name of path)
      node = node?.type === "directory" ? node.children.get(this.#spelling(node, [name])) : undefined;
    return node;
  }

  #need(path: DiskPath): Node {
    const node = this.#at(path);
    if (node === undefined) throw failure("ENOENT");
    return node;
  }

  #directory(path: DiskPath): Node {
    const node = this.#need(path);
    if (node.type !== "directory") throw failure("ENOTDIR");
    return node;
  }

  /** The name in the directory's spelling. */
  #key(path: DiskPath): string {
    return this.#spelling(this.#directory(path.slice(0, -1)), path);
  }

  #spelling(directory: Node, path: DiskPath): string {
    const name = path.at(-1) ?? "";
    if (!this.foldsCase || directory.children.has(name)) return name;
    return [...directory.children.keys()].find((key) => key.toLowerCase() === name.toLowerCase()) ?? name;
  }

  #respell(from: DiskPath, to: DiskPath): void {
    const above = this.#directory(from.slice(0, -1));
    const node = this.#need(from);
    above.children.delete(this.#key(from));
    above.children.set(to.at(-1) ?? "", node);
    node.ctimeNs = this.nowNs();
  }
}
