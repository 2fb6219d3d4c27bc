/**
 * A disk for the overlay that loses what was not synced, fills up, and stops at any call.
 *
 * `before` runs before each call, with its name; what it throws, the call throws. `afterKill` is the disk as a new process
 * finds it; `afterPowerLoss` randomly loses or tears what was not synced.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { Folder, OverlayStorage, StateTables, StorageSpace, StoredFile } from "../../overlay/disk/storage.ts";
import { SimulatedFolder, SimulatedInode } from "./simulated-files.ts";
import { emptyTables, SimulatedTables } from "./simulated-tables.ts";
import type { TableContents } from "./simulated-tables.ts";

/** "create" and "grow" need space; they follow "open" and "write". */
export type DiskCall =
  | "open"
  | "create"
  | "write"
  | "grow"
  | "sync"
  | "remove"
  | "sync folder"
  | "apply"
  | "sync tables";

export const diskFull = () => new SynclineError("disk_full", "The simulated disk is full.");

/** Thrown where the process stops. */
export class Stopped extends Error {
  constructor() {
    super("stopped by the simulation");
    this.name = "Stopped";
  }
}

export class SimulatedDisk implements OverlayStorage {
  before: (call: DiskCall) => void = () => {};
  /** What a read of the journal returns instead of the stored bytes: only the journal has checksums. */
  flipped: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes;
  /** Whether syncs of files are reported but not made. */
  forgetsSyncs = false;
  /** The most bytes that all files may hold. */
  capacity = Infinity;
  readonly folders: Record<Folder, SimulatedFolder>;
  #tables: SimulatedTables;

  constructor(folders?: Record<Folder, SimulatedFolder>, tables?: readonly TableContents[]) {
    this.folders = folders ?? { journal: new SimulatedFolder(), data: new SimulatedFolder() };
    this.#tables = new SimulatedTables((call) => this.before(call), tables ?? [emptyTables()]);
  }

  list(folder: Folder): string[] {
    return [...this.folders[folder].files.keys()];
  }

  openFile(folder: Folder, name: string, create: boolean): StoredFile | undefined {
    this.before("open");
    const { files } = this.folders[folder];
    let inode = files.get(name);
    if (inode === undefined) {
      if (!create) return undefined;
      this.before("create");
      inode = new SimulatedInode();
      files.set(name, inode);
    }
    return new SimulatedFile(this, inode, folder === "journal");
  }

  removeFile(folder: Folder, name: string): void {
    this.before("remove");
    this.folders[folder].files.delete(name);
  }

  async removeFiles(folder: Folder, names: readonly string[]): Promise<void> {
    for (const name of names) this.removeFile(folder, name);
  }

  async syncFolder(folder: Folder): Promise<void> {
    this.syncFolderNow(folder);
  }

  syncFolderNow(folder: Folder): void {
    this.before("sync folder");
    const { files } = this.folders[folder];
    this.folders[folder].durable = new Map(files);
  }

  openTables(): StateTables {
    return this.#tables;
  }

  space(): StorageSpace {
    const free = this.capacity === Infinity ? 1e9 : Math.max(0, this.capacity - this.used);
    return { blockSize: 1, blocks: 2e9, freeBlocks: free, files: 1e6, freeFiles: 1e6 };
  }

  get used(): number {
    let bytes = 0;
    for (const { files } of Object.values(this.folders)) for (const { size } of files.values()) bytes += size;
    return bytes;
  }

  afterKill(): SimulatedDisk {
    // The writer's death does not make unsynced writes durable.
    const { journal, data } = this.folders;
    return new SimulatedDisk({ journal: journal.copy(), data: data.copy() }, this.#tables.versions);
  }

  afterPowerLoss(random: Random): SimulatedDisk {
    const survivors = ({ files, durable }: SimulatedFolder) => {
      const names = new Map<string, SimulatedInode>();
      for (const name of new Set([...files.keys(), ...durable.keys()])) {
        const [now, then] = [files.get(name), durable.get(name)];
        const inode = now === then || random.fraction() < 0.5 ? then : now;
        if (inode !== undefined) names.set(name, inode.torn(random));
      }
      return new SimulatedFolder(names);
    };
    const { journal, data } = this.folders;
    return new SimulatedDisk({ journal: survivors(journal), data: survivors(data) }, [this.#tables.survivor(random)]);
  }
}

/** Fails when used after closing, as a descriptor does. */
class SimulatedFile implements StoredFile {
  readonly #disk: SimulatedDisk;
  readonly #inode: SimulatedInode;
  readonly #isJournal: boolean;
  #open = true;

  constructor(disk: SimulatedDisk, inode: SimulatedInode, isJournal: boolean) {
    this.#disk = disk;
    this.#inode = inode;
    this.#isJournal = isJournal;
  }

  size(): number {
    this.#checkOpen();
    return this.#inode.size;
  }

  read(offset: number, target: Uint8Array): number {
    this.#checkOpen();
    const part = this.#inode.bytes.subarray(0, this.#inode.size).subarray(offset, offset + target.length);
    target.set(this.#isJournal ? this.#disk.flipped(part) : part);
    return part.length;
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#checkOpen();
    this.#disk.before("write");
    const growth = Math.max(0, offset + bytes.length - this.#inode.size);
    if (growth > 0) this.#disk.before("grow");
    if (this.#disk.used + growth > this.#disk.capacity) {
      // Writes as much as fits.
      const fits = Math.max(0, this.#disk.capacity - this.#disk.used);
      this.#inode.write(offset, bytes.subarray(0, Math.max(0, bytes.length - growth + fits)));
      throw diskFull();
    }
    this.#inode.write(offset, bytes);
  }

  async sync(): Promise<void> {
    this.syncNow();
  }

  syncNow(): void {
    this.#checkOpen();
    this.#disk.before("sync");
    if (!this.#disk.forgetsSyncs) this.#inode.sync();
  }

  close(): void {
    this.#open = false;
  }

  #checkOpen(): void {
    if (!this.#open) throw new SynclineError("internal", "A file of the simulated disk is used after it was closed.");
  }
}
