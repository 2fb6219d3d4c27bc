/**
 * A disk for the overlay that forgets what was not synced, fills up, and stops at any call.
 *
 * `before` runs ahead of each call, with its name: what it throws is what the call meets. `afterKill` is the disk as a new
 * process finds it; `afterPowerLoss` loses or tears, by chance, what was not synced.
 */
import { SynclineError } from "../../src/base/errors.ts";
import type { FileId, Ino } from "../../src/base/ids.ts";
import type { Random } from "../../src/base/random.ts";
import type {
  Folder,
  InodeRow,
  OverlayStorage,
  StateTables,
  StorageSpace,
  StoredFile,
  TableChange,
} from "../../src/overlay/storage.ts";

/** "create" and "grow" are those that need space; they come after "open" and "write". */
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

/** The process stops here. */
export class Stopped extends Error {
  constructor() {
    super("stopped by the simulation");
    this.name = "Stopped";
  }
}

export class SimulatedDisk implements OverlayStorage {
  before: (call: DiskCall) => void = () => {};
  /** Bytes that files may take in all. */
  capacity = Infinity;
  readonly folders: Record<Folder, SimulatedFolder>;
  #tables: SimulatedTables;

  constructor(folders?: Record<Folder, SimulatedFolder>, tables?: readonly TableContents[]) {
    this.folders = folders ?? { journal: new SimulatedFolder(), data: new SimulatedFolder() };
    this.#tables = new SimulatedTables(this, tables ?? [emptyTables()]);
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
    return new SimulatedFile(this, inode);
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
    // What was not synced is not durable because its writer died.
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

export class SimulatedFolder {
  readonly files: Map<string, SimulatedInode>;
  durable: Map<string, SimulatedInode>;

  constructor(files: Map<string, SimulatedInode> = new Map()) {
    this.files = files;
    this.durable = new Map(files);
  }

  copy(): SimulatedFolder {
    const copies = new Map<SimulatedInode, SimulatedInode>();
    const copyOf = ([name, inode]: readonly [string, SimulatedInode]) => {
      const copy = copies.get(inode) ?? inode.copy();
      copies.set(inode, copy);
      return [name, copy] as const;
    };
    const folder = new SimulatedFolder(new Map([...this.files].map(copyOf)));
    folder.durable = new Map([...this.durable].map(copyOf));
    return folder;
  }
}

/** A write, or a new size. */
type Unsynced = { readonly offset: number; readonly bytes: Uint8Array } | { readonly size: number };

export class SimulatedInode {
  bytes: Uint8Array;
  size: number;
  /** As of the last sync. */
  #durable: Uint8Array;
  #unsynced: Unsynced[] = [];
  #forgot = false;

  constructor(bytes: Uint8Array = new Uint8Array()) {
    this.bytes = bytes;
    this.size = bytes.length;
    this.#durable = bytes.slice();
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#unsynced.push({ offset, bytes: bytes.slice() });
    this.bytes = written(this.bytes, offset, bytes);
    this.size = Math.max(this.size, offset + bytes.length);
  }

  truncate(size: number): void {
    this.#unsynced.push({ size });
    this.bytes = resized(this.bytes.subarray(0, this.size), size);
    this.size = size;
  }

  sync(): void {
    this.#durable = this.#forgot ? this.#after(() => 1) : this.bytes.slice(0, this.size);
    this.#unsynced = [];
  }

  /**
   * As after a sync that failed: what was written since the last one is in memory only, and counts as written out, so that no sync
   * writes it any more.
   */
  forget(): void {
    this.#unsynced = [];
    this.#forgot = true;
  }

  copy(): SimulatedInode {
    const copy = new SimulatedInode(this.bytes.slice(0, this.size));
    copy.#durable = this.#durable;
    copy.#unsynced = [...this.#unsynced];
    copy.#forgot = this.#forgot;
    return copy;
  }

  /** Each write that was not synced is there, or not, or in part. */
  torn(random: Random): SimulatedInode {
    return new SimulatedInode(
      this.#after(() => {
        const chance = random.fraction();
        if (chance < 0.4) return 0;
        return chance < 0.6 ? random.fraction() : 1;
      }),
    );
  }

  /** What is durable, with as much of each change since as `part` says: none of it at 0, all at 1. */
  #after(part: () => number): Uint8Array {
    let bytes: Uint8Array = this.#durable.slice();
    let { length } = bytes;
    for (const change of this.#unsynced) {
      const share = part();
      if (share === 0) continue;
      if ("size" in change) {
        bytes = resized(bytes.subarray(0, length), change.size);
        length = change.size;
        continue;
      }
      const kept = change.bytes.subarray(0, Math.floor(change.bytes.length * share));
      bytes = written(bytes, change.offset, kept);
      length = Math.max(length, change.offset + kept.length);
    }
    return bytes.slice(0, length);
  }
}

function resized(bytes: Uint8Array, size: number): Uint8Array {
  const result = new Uint8Array(size);
  result.set(bytes.subarray(0, size));
  return result;
}

function written(bytes: Uint8Array, offset: number, part: Uint8Array): Uint8Array {
  const end = offset + part.length;
  let target = bytes;
  if (end > bytes.length) {
    target = new Uint8Array(Math.max(end, Math.min(2 * bytes.length, end + 1024 * 1024)));
    target.set(bytes);
  }
  target.set(part, offset);
  return target;
}

/** What is used after it was closed fails, as a descriptor does. */
class SimulatedFile implements StoredFile {
  readonly #disk: SimulatedDisk;
  readonly #inode: SimulatedInode;
  #open = true;

  constructor(disk: SimulatedDisk, inode: SimulatedInode) {
    this.#disk = disk;
    this.#inode = inode;
  }

  size(): number {
    this.#checkOpen();
    return this.#inode.size;
  }

  read(offset: number, target: Uint8Array): number {
    this.#checkOpen();
    const part = this.#inode.bytes.subarray(0, this.#inode.size).subarray(offset, offset + target.length);
    target.set(part);
    return part.length;
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#checkOpen();
    this.#disk.before("write");
    const growth = Math.max(0, offset + bytes.length - this.#inode.size);
    if (growth > 0) this.#disk.before("grow");
    if (this.#disk.used + growth > this.#disk.capacity) {
      // As much as fits lands on the disk.
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
    this.#inode.sync();
  }

  close(): void {
    this.#open = false;
  }

  #checkOpen(): void {
    if (!this.#open) throw new Error("A file is used after it was closed.");
  }
}

interface TableContents {
  readonly inodes: ReadonlyMap<Ino, InodeRow>;
  readonly objects: ReadonlyMap<Ino, Uint8Array>;
  readonly sealed: ReadonlyMap<Ino, Uint8Array>;
  readonly head: Uint8Array | undefined;
}

function emptyTables(): TableContents {
  return { inodes: new Map(), objects: new Map(), sealed: new Map(), head: undefined };
}

class SimulatedTables implements StateTables {
  readonly #disk: SimulatedDisk;
  /** Committed states since the last sync; the first one is durable. */
  #versions: readonly TableContents[];

  constructor(disk: SimulatedDisk, versions: readonly TableContents[]) {
    this.#disk = disk;
    this.#versions = versions;
  }

  get versions(): readonly TableContents[] {
    return this.#versions;
  }

  get latest(): TableContents {
    return this.#versions.at(-1) ?? emptyTables();
  }

  survivor(random: Random): TableContents {
    return this.#versions[Math.floor(random.fraction() * this.#versions.length)] ?? emptyTables();
  }

  inode(ino: Ino): InodeRow | undefined {
    return this.latest.inodes.get(ino);
  }

  inodeOf(id: FileId): InodeRow | undefined {
    for (const row of this.latest.inodes.values()) if (row.id === id) return row;
    return undefined;
  }

  greatestIno(): number {
    return Math.max(0, ...this.latest.inodes.keys());
  }

  head(): Uint8Array | undefined {
    return this.latest.head;
  }

  objects(): Iterable<Uint8Array> {
    return this.latest.objects.values();
  }

  sealed(): Iterable<Uint8Array> {
    return this.latest.sealed.values();
  }

  apply(change: TableChange): void {
    this.#disk.before("apply");
    const { latest } = this;
    const inodes = new Map(latest.inodes);
    const objects = new Map(latest.objects);
    for (const ino of change.removedInodes) inodes.delete(ino);
    for (const row of change.inodes) {
      for (const [ino, other] of inodes) if (other.id === row.id) inodes.delete(ino);
      inodes.set(row.ino, row);
    }
    for (const ino of change.removedObjects) objects.delete(ino);
    for (const [ino, bytes] of change.objects) objects.set(ino, bytes);
    const sealed = change.sealed === undefined ? latest.sealed : new Map(change.sealed);
    this.#versions = [...this.#versions, { inodes, objects, sealed, head: change.head ?? latest.head }];
  }

  async sync(): Promise<void> {
    this.#disk.before("sync tables");
    this.#versions = [this.latest];
  }

  close(): void {}
}
