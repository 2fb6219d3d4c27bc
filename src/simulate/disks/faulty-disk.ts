/**
 * A disk that loses what was not synced, fills up, fails, and stops at any call. The disks under the overlay, the caches and
 * a master's packs are this one, each with the calls of its port.
 *
 * After power loss each change of names since its folder's sync is there or not, as a whole, and each write since the file's
 * sync is there, missing, or partial.
 */
import { basename, dirname } from "node:path";
import type { Random } from "../../base/random.ts";
import { SimulatedInode } from "./simulated-inode.ts";

/** "grow" follows the "write" of a file that gets longer. */
export type DiskCall =
  | "create"
  | "open"
  | "read"
  | "write"
  | "grow"
  | "truncate"
  | "sync"
  | "rename"
  | "remove"
  | "sync folder";

/** Thrown where the process stops. */
export class Stopped extends Error {
  constructor() {
    super("stopped by the simulation");
    this.name = "Stopped";
  }
}

/** The error of a failed system call. */
export function systemError(code: string): Error {
  return Object.assign(new RangeError(`${code}: simulated`), { code });
}

/** A name that goes, one that comes, or both at once. */
interface NameChange {
  readonly folder: string;
  readonly gone: string | undefined;
  readonly come: readonly [string, SimulatedInode] | undefined;
}

export class FaultyDisk {
  /** Runs before each call; what it throws, the call throws. */
  before: (call: DiskCall, path: string) => void = () => {};
  /** Whether syncs of files are reported but not made. */
  forgetsSyncs = false;
  /** Whether a write that fails still writes a part. */
  tearsFailedWrites = false;
  /** The most bytes that all files may hold. */
  capacity = Infinity;
  #names: Map<string, SimulatedInode>;
  #durable: Map<string, SimulatedInode>;
  #changes: readonly NameChange[] = [];

  constructor(names: Map<string, SimulatedInode> = new Map()) {
    this.#names = names;
    this.#durable = new Map(names);
  }

  /** Files by path, for tests to inspect and damage. */
  get files(): ReadonlyMap<string, SimulatedInode> {
    return this.#names;
  }

  /** The bytes of all files. */
  get used(): number {
    let bytes = 0;
    for (const { size } of this.#names.values()) bytes += size;
    return bytes;
  }

  /** Allows `calls` more calls, then fails every one. */
  stopAfter(calls: number): void {
    let left = calls;
    this.before = () => {
      if (left-- <= 0) throw new Stopped();
    };
  }

  /** The names in a folder. */
  list(folder: string): string[] {
    return [...this.#names.keys()].filter((path) => dirname(path) === folder).map((path) => basename(path));
  }

  /** Makes a name durable at once: folders are entries of their parents. */
  makeEntry(path: string): void {
    if (this.#names.has(path)) return;
    this.#names.set(path, new SimulatedInode());
    this.#durable.set(path, new SimulatedInode());
  }

  create(path: string): FaultyFile {
    this.before("create", path);
    if (this.#names.has(path)) throw systemError("EEXIST");
    if (this.used >= this.capacity) throw systemError("ENOSPC");
    const inode = new SimulatedInode();
    this.#change({ folder: dirname(path), gone: undefined, come: [path, inode] });
    return new FaultyFile(this, path, inode);
  }

  open(path: string): FaultyFile | undefined {
    this.before("open", path);
    const inode = this.#names.get(path);
    return inode && new FaultyFile(this, path, inode);
  }

  rename(from: string, to: string): void {
    this.before("rename", from);
    const inode = this.#names.get(from);
    if (inode !== undefined) this.#change({ folder: dirname(to), gone: from, come: [to, inode] });
  }

  remove(path: string): void {
    this.before("remove", path);
    this.#change({ folder: dirname(path), gone: path, come: undefined });
  }

  syncFolder(folder: string): void {
    this.before("sync folder", folder);
    for (const change of this.#changes) if (change.folder === folder) apply(change, this.#durable);
    this.#changes = this.#changes.filter((change) => change.folder !== folder);
  }

  /** An independent disk with the same contents, as a new process finds it: a writer's death makes nothing durable. */
  copy(): FaultyDisk {
    const copies = new Map<SimulatedInode, SimulatedInode>();
    const copyOf = (inode: SimulatedInode) => {
      const copy = copies.get(inode) ?? inode.copy();
      copies.set(inode, copy);
      return copy;
    };
    const each = (names: Map<string, SimulatedInode>) => new Map([...names].map(([path, at]) => [path, copyOf(at)]));
    const disk = new FaultyDisk(each(this.#names));
    disk.#durable = each(this.#durable);
    disk.#changes = this.#changes.map((change) => ({
      ...change,
      come: change.come && ([change.come[0], copyOf(change.come[1])] as const),
    }));
    return disk;
  }

  afterPowerLoss(random: Random): FaultyDisk {
    const names = new Map(this.#durable);
    for (const change of this.#changes) if (random.fraction() < 0.5) apply(change, names);
    return new FaultyDisk(new Map([...names].map(([path, inode]) => [path, inode.torn(random)])));
  }

  #change(change: NameChange): void {
    apply(change, this.#names);
    this.#changes = [...this.#changes, change];
  }
}

function apply({ gone, come }: NameChange, names: Map<string, SimulatedInode>): void {
  if (gone !== undefined) names.delete(gone);
  if (come !== undefined) names.set(...come);
}

/** Fails when used after closing, as a descriptor does. */
export class FaultyFile {
  readonly #disk: FaultyDisk;
  readonly #path: string;
  readonly #inode: SimulatedInode;
  #isOpen = true;

  constructor(disk: FaultyDisk, path: string, inode: SimulatedInode) {
    this.#disk = disk;
    this.#path = path;
    this.#inode = inode;
  }

  size(): number {
    this.#checkOpen();
    return this.#inode.size;
  }

  /** A copy; fewer bytes at the end. */
  read(offset: number, length: number): Uint8Array {
    this.#before("read");
    return this.#inode.bytes.subarray(0, this.#inode.size).slice(offset, offset + length);
  }

  /** On a full disk it writes as much as fits. */
  write(offset: number, bytes: Uint8Array): void {
    const growth = Math.max(0, offset + bytes.length - this.#inode.size);
    try {
      this.#before("write");
      if (growth > 0) this.#before("grow");
    } catch (error) {
      if (this.#disk.tearsFailedWrites) this.#inode.write(offset, bytes.subarray(0, bytes.length >> 1));
      throw error;
    }
    const lacking = Math.min(growth, Math.max(0, this.#disk.used + growth - this.#disk.capacity));
    this.#inode.write(offset, bytes.subarray(0, Math.max(0, bytes.length - lacking)));
    if (lacking > 0) throw systemError("ENOSPC");
  }

  truncate(size: number): void {
    this.#before("truncate");
    this.#inode.truncate(size);
  }

  /** After a failed sync, writes since the last one are in memory only, and no later sync writes them. */
  sync(): void {
    try {
      this.#before("sync");
    } catch (error) {
      if (!(error instanceof Stopped)) this.#inode.forget();
      throw error;
    }
    if (!this.#disk.forgetsSyncs) this.#inode.sync();
  }

  close(): void {
    this.#isOpen = false;
  }

  #before(call: DiskCall): void {
    this.#checkOpen();
    this.#disk.before(call, this.#path);
  }

  #checkOpen(): void {
    if (!this.#isOpen) throw systemError("EBADF");
  }
}
