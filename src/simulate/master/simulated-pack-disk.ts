/** The disk under a simulated master's packs: a FaultyDisk whose calls take time. */
import { dirname } from "node:path";
import type { Random } from "../../base/random.ts";
import type { PackDisk, PackFile } from "../../master/store/pack-disk.ts";
import { type DiskCall, FaultyDisk, type FaultyFile } from "../disks/faulty-disk.ts";
import type { SimulatedInode } from "../disks/simulated-inode.ts";

export class SimulatedPackDisk implements PackDisk {
  /** Awaited by each call before it does anything. */
  pause: (() => Promise<void>) | undefined;
  readonly #onFolder: (folder: string) => void;
  readonly #disk: FaultyDisk;

  /** `onFolder` is called with folders that are made. */
  constructor(disk: FaultyDisk = new FaultyDisk(), onFolder: (folder: string) => void = () => {}) {
    this.#onFolder = onFolder;
    this.#disk = disk;
    disk.tearsFailedWrites = true;
  }

  /** Runs before each call; what it throws, the call throws. */
  set before(before: (call: DiskCall, path: string) => void) {
    this.#disk.before = before;
  }

  /** Whether syncs of files are reported but not made. */
  set forgetsSyncs(forgets: boolean) {
    this.#disk.forgetsSyncs = forgets;
  }

  /** The most bytes that all files may hold. */
  set capacity(bytes: number) {
    this.#disk.capacity = bytes;
  }

  get used(): number {
    return this.#disk.used;
  }

  /** Files by path, for tests to inspect and damage. */
  get files(): ReadonlyMap<string, SimulatedInode> {
    return this.#disk.files;
  }

  /** Allows `calls` more calls, then fails every one. */
  stopAfter(calls: number): void {
    this.#disk.stopAfter(calls);
  }

  /** The disk as a new process finds it. */
  afterKill(): SimulatedPackDisk {
    return this.copy();
  }

  afterPowerLoss(random: Random): SimulatedPackDisk {
    return new SimulatedPackDisk(this.#disk.afterPowerLoss(random), this.#onFolder);
  }

  /** An independent disk of the same kind with the same contents. */
  copy(): SimulatedPackDisk {
    return new SimulatedPackDisk(this.#disk.copy(), this.#onFolder);
  }

  async list(folder: string): Promise<string[]> {
    return this.#disk.list(folder);
  }

  async makeFolder(folder: string): Promise<void> {
    this.#onFolder(folder);
    for (let each = folder; dirname(each) !== each; each = dirname(each)) this.#disk.makeEntry(each);
  }

  create(path: string): Promise<PackFile> {
    return this.#later(() => this.#packFile(this.#disk.create(path)));
  }

  open(path: string): Promise<PackFile | undefined> {
    return this.#later(() => {
      const file = this.#disk.open(path);
      return file && this.#packFile(file);
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#later(() => this.#disk.rename(from, to));
  }

  remove(path: string): Promise<void> {
    return this.#later(() => this.#disk.remove(path));
  }

  syncFolder(folder: string): Promise<void> {
    return this.#later(() => this.#disk.syncFolder(folder));
  }

  #packFile(file: FaultyFile): PackFile {
    return {
      size: async () => file.size(),
      read: (offset, length) => this.#later(() => Buffer.from(file.read(offset, length))),
      write: (offset, parts) => this.#later(() => file.write(offset, Buffer.concat(parts))),
      truncate: (size) => this.#later(() => file.truncate(size)),
      sync: () => this.#later(() => file.sync()),
      close: async () => file.close(),
    };
  }

  async #later<Result>(call: () => Result): Promise<Result> {
    await this.pause?.();
    return call();
  }
}
