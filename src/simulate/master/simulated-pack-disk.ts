/**
 * A disk for a master's packs that loses what was not synced, fills up, fails, stops at any call, and takes time.
 *
 * After power loss each write, and each change of names since the folder's sync, is independently there or not, as a whole.
 */
import { basename, dirname } from "node:path";
import type { Random } from "../../base/random.ts";
import type { PackDisk, PackFile } from "../../master/store/pack-disk.ts";
import { Stopped } from "../disks/simulated-disk.ts";
import { SimulatedInode } from "../disks/simulated-files.ts";

export type PackDiskCall =
  | "create"
  | "open"
  | "read"
  | "write"
  | "truncate"
  | "sync"
  | "sync folder"
  | "rename"
  | "remove";

type NameChange = (names: Map<string, SimulatedInode>) => void;

export class SimulatedPackDisk implements PackDisk {
  /** Runs before each call; what it throws, the call throws. */
  before: (call: PackDiskCall, path: string) => void = () => {};
  /** Awaited by each call before it does anything. */
  pause: (() => Promise<void>) | undefined;
  /** Whether syncs of files are reported but not made. */
  forgetsSyncs = false;
  /** The most bytes that all files may hold. */
  capacity = Infinity;
  readonly #onFolder: (folder: string) => void;
  #names: Map<string, SimulatedInode>;
  #durable: Map<string, SimulatedInode>;
  #changes: NameChange[] = [];

  /** `onFolder` is called with folders that are made. */
  constructor(names: Map<string, SimulatedInode> = new Map(), onFolder: (folder: string) => void = () => {}) {
    this.#onFolder = onFolder;
    this.#names = names;
    this.#durable = new Map(names);
  }

  /** Files by path, for tests to inspect and damage. */
  get files(): ReadonlyMap<string, SimulatedInode> {
    return this.#names;
  }

  /** Allows `calls` more calls, then fails every one. */
  stopAfter(calls: number): void {
    let left = calls;
    this.before = () => {
      if (left-- <= 0) throw new Stopped();
    };
  }

  /** The disk as a new process finds it. */
  afterKill(): SimulatedPackDisk {
    const disk = this.#with(new Map(this.#names));
    disk.#durable = new Map(this.#durable);
    disk.#changes = [...this.#changes];
    return disk;
  }

  afterPowerLoss(random: Random): SimulatedPackDisk {
    const names = new Map(this.#durable);
    for (const change of this.#changes) if (random.fraction() < 0.5) change(names);
    return this.#with(new Map([...names].map(([path, inode]) => [path, inode.torn(random)])));
  }

  /** An independent disk of the same kind with the same contents. */
  copy(): SimulatedPackDisk {
    return this.#with(new Map([...this.#names].map(([path, inode]) => [path, inode.copy()])));
  }

  #with(names: Map<string, SimulatedInode>): SimulatedPackDisk {
    return new SimulatedPackDisk(names, this.#onFolder);
  }

  async list(folder: string): Promise<string[]> {
    return [...this.#names.keys()].filter((path) => dirname(path) === folder).map((path) => basename(path));
  }

  async makeFolder(folder: string): Promise<void> {
    this.#onFolder(folder);
    // `list` needs folders as entries of their parents.
    for (let each = folder; dirname(each) !== each && !this.#names.has(each); each = dirname(each)) {
      this.#names.set(each, new SimulatedInode());
      this.#durable.set(each, new SimulatedInode());
    }
  }

  async create(path: string): Promise<PackFile> {
    if (this.pause !== undefined) await this.pause();
    this.before("create", path);
    if (this.#names.has(path)) throw systemError("EEXIST");
    if (this.used >= this.capacity) throw systemError("ENOSPC");
    const inode = new SimulatedInode();
    this.#change((names) => names.set(path, inode));
    return this.#file(path, inode);
  }

  async open(path: string): Promise<PackFile | undefined> {
    if (this.pause !== undefined) await this.pause();
    this.before("open", path);
    const inode = this.#names.get(path);
    return inode && this.#file(path, inode);
  }

  async rename(from: string, to: string): Promise<void> {
    if (this.pause !== undefined) await this.pause();
    this.before("rename", from);
    this.#change((names) => {
      const inode = names.get(from);
      if (inode === undefined) return;
      names.delete(from);
      names.set(to, inode);
    });
  }

  async remove(path: string): Promise<void> {
    if (this.pause !== undefined) await this.pause();
    this.before("remove", path);
    this.#change((names) => names.delete(path));
  }

  async syncFolder(folder: string): Promise<void> {
    if (this.pause !== undefined) await this.pause();
    this.before("sync folder", folder);
    this.#durable = new Map(this.#names);
    this.#changes = [];
  }

  #change(change: NameChange): void {
    change(this.#names);
    this.#changes.push(change);
  }

  /** The bytes of all files. */
  get used(): number {
    let bytes = 0;
    for (const { size } of this.#names.values()) bytes += size;
    return bytes;
  }

  #file(path: string, inode: SimulatedInode): PackFile {
    let isOpen = true;
    const before = (call: PackDiskCall) => {
      if (!isOpen) throw systemError("EBADF");
      this.before(call, path);
    };
    const pause = async () => this.pause?.();
    return {
      size: async () => inode.size,
      read: async (offset, length) => {
        await pause();
        before("read");
        return Buffer.from(inode.bytes.subarray(0, inode.size).subarray(offset, offset + length));
      },
      write: async (offset, parts) => {
        await pause();
        const bytes = Buffer.concat(parts);
        try {
          before("write");
        } catch (error) {
          // A failed write may still write a part.
          inode.write(offset, bytes.subarray(0, bytes.length >> 1));
          throw error;
        }
        const growth = Math.max(0, offset + bytes.length - inode.size);
        const lacking = Math.min(growth, Math.max(0, this.used + growth - this.capacity));
        inode.write(offset, bytes.subarray(0, bytes.length - lacking));
        if (lacking > 0) throw systemError("ENOSPC");
      },
      truncate: async (size) => {
        await pause();
        before("truncate");
        inode.truncate(size);
      },
      sync: async () => {
        await pause();
        try {
          before("sync");
        } catch (error) {
          if (!(error instanceof Stopped)) inode.forget();
          throw error;
        }
        if (!this.forgetsSyncs) inode.sync();
      },
      close: async () => {
        isOpen = false;
      },
    };
  }
}

/** The error of a failed system call. */
export function systemError(code: string): Error {
  return Object.assign(new RangeError(`${code}: simulated`), { code });
}
