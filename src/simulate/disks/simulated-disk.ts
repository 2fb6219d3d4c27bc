/** The disk under a simulated overlay: a FaultyDisk for its files, and its tables. */
import { SynclineError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { failedWith } from "../../base/system-errors.ts";
import type { Folder, OverlayStorage, StateTables, StorageSpace, StoredFile } from "../../overlay/disk/storage.ts";
import { type DiskCall, FaultyDisk, type FaultyFile } from "./faulty-disk.ts";
import type { SimulatedInode } from "./simulated-inode.ts";
import { SimulatedTables, type TableCall } from "./simulated-tables.ts";

export type OverlayCall = DiskCall | TableCall;

export const diskFull = () => new SynclineError("disk_full", "The simulated disk is full.");

/** Makes the tables of a disk; each call to them runs `before` first. */
type TablesOf = (before: (call: TableCall) => void) => SimulatedTables;

export class SimulatedDisk implements OverlayStorage {
  /** Runs before each call, with the file's path if it has one; what it throws, the call throws. */
  before: (call: OverlayCall, path?: string) => void = () => {};
  /** What a read of the journal returns instead of the stored bytes: only the journal has checksums. */
  flipped: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes;
  readonly #files: FaultyDisk;
  readonly #tables: SimulatedTables;

  constructor(files: FaultyDisk = new FaultyDisk(), tables: TablesOf = (before) => new SimulatedTables(before)) {
    this.#files = files;
    files.before = (call, path) => this.before(call, path);
    this.#tables = tables((call) => this.before(call));
  }

  /** Whether syncs of files are reported but not made. */
  set forgetsSyncs(forgets: boolean) {
    this.#files.forgetsSyncs = forgets;
  }

  /** The most bytes that all files may hold. */
  set capacity(bytes: number) {
    this.#files.capacity = bytes;
  }

  get used(): number {
    return this.#files.used;
  }

  /** Files by name, for tests to inspect and damage. */
  filesIn(folder: Folder): ReadonlyMap<string, SimulatedInode> {
    const { files } = this.#files;
    return new Map([...files].flatMap(([path, inode]) => (isIn(path, folder) ? [[nameIn(path), inode]] : [])));
  }

  list(folder: Folder): string[] {
    return this.#files.list(folder);
  }

  openFile(folder: Folder, name: string, create: boolean): StoredFile | undefined {
    const path = `${folder}/${name}`;
    const file = this.#files.open(path) ?? (create ? telling(() => this.#files.create(path)) : undefined);
    return file && this.#stored(file, folder === "journal");
  }

  removeFile(folder: Folder, name: string): void {
    this.#files.remove(`${folder}/${name}`);
  }

  async removeFiles(folder: Folder, names: readonly string[]): Promise<void> {
    for (const name of names) this.removeFile(folder, name);
  }

  async syncFolder(folder: Folder): Promise<void> {
    this.syncFolderNow(folder);
  }

  syncFolderNow(folder: Folder): void {
    this.#files.syncFolder(folder);
  }

  openTables(): StateTables {
    return this.#tables;
  }

  space(): StorageSpace {
    const { capacity, used } = this.#files;
    const free = capacity === Infinity ? 1e9 : Math.max(0, capacity - used);
    return { blockSize: 1, blocks: 2e9, freeBlocks: free, files: 1e6, freeFiles: 1e6 };
  }

  /** The disk as a new process finds it. */
  afterKill(): SimulatedDisk {
    return new SimulatedDisk(this.#files.copy(), (before) => this.#tables.copy(before));
  }

  /** As `afterKill`, with the tables of another image. */
  withTables(other: SimulatedDisk): SimulatedDisk {
    return new SimulatedDisk(this.#files.copy(), (before) => other.#tables.copy(before));
  }

  afterPowerLoss(random: Random): SimulatedDisk {
    const files = this.#files.afterPowerLoss(random);
    const survivor = this.#tables.survivor(random);
    return new SimulatedDisk(files, (before) => new SimulatedTables(before, [survivor]));
  }

  #stored(file: FaultyFile, isJournal: boolean): StoredFile {
    return {
      size: () => file.size(),
      read: (offset, target) => {
        const part = file.read(offset, target.length);
        target.set(isJournal ? this.flipped(part) : part);
        return part.length;
      },
      write: (offset, bytes) => telling(() => file.write(offset, bytes)),
      sync: async () => file.sync(),
      syncNow: () => file.sync(),
      close: () => file.close(),
    };
  }
}

function isIn(path: string, folder: Folder): boolean {
  return path.startsWith(`${folder}/`);
}

function nameIn(path: string): string {
  return path.slice(path.indexOf("/") + 1);
}

/** As the port tells that the disk is full. */
function telling<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw failedWith(error, "ENOSPC") ? diskFull() : error;
  }
}
