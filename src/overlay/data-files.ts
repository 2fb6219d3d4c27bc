/**
 * Contents that are not published yet: sparse files `data/<ino>.<epoch>`, each byte at the file's own offset. A file of a
 * sealed epoch is never written again. At most so many are open at once.
 */
import { SynclineError } from "../base/errors.ts";
import type { Ino } from "../base/ids.ts";
import { SharedSync } from "./shared-sync.ts";
import type { OverlayStorage, StoredFile } from "./storage.ts";

interface OpenFile {
  readonly file: StoredFile;
  /** Syncs under way: it is not closed meanwhile. */
  busy: number;
}

export class DataFiles {
  readonly #storage: OverlayStorage;
  readonly #maxOpen: number;
  /** By name, the least recently used first. */
  readonly #open = new Map<string, OpenFile>();
  /** Epochs of the files that there are. */
  readonly #epochs = new Map<Ino, number[]>();
  readonly #unsynced = new Map<Ino, Set<string>>();
  /** Files whose bytes must be durable before the journal says so: those that took another's name. */
  readonly #eager = new Set<Ino>();
  readonly #folderSync: SharedSync;
  #folderChanged = false;
  #trash: string[] = [];

  /** Finds the files that there are. */
  constructor(storage: OverlayStorage, maxOpen: number) {
    this.#storage = storage;
    this.#maxOpen = maxOpen;
    this.#folderSync = new SharedSync(() => storage.syncFolder("data"));
    for (const name of storage.list("data")) {
      const [, ino, epoch] = /^(\d+)\.(\d+)$/.exec(name) ?? [];
      if (ino !== undefined) this.#note(Number(ino) as Ino, Number(epoch));
    }
  }

  /** Inodes that have files. */
  inos(): Ino[] {
    return [...this.#epochs.keys()];
  }

  /** Files that wait for `sweep`. */
  get discarded(): number {
    return this.#trash.length;
  }

  /** Throws `disk_full`; bytes of the range may have changed then. */
  write(ino: Ino, epoch: number, offset: number, bytes: Uint8Array): void {
    const name = dataFileName(ino, epoch);
    this.#file(ino, epoch, name).file.write(offset, bytes);
    const unsynced = this.#unsynced.get(ino);
    if (unsynced === undefined) this.#unsynced.set(ino, new Set([name]));
    else unsynced.add(name);
  }

  /** Fills `target`. What power loss took from a file that was never synced reads as zeros. */
  read(ino: Ino, epoch: number, offset: number, target: Uint8Array): void {
    const known = this.#epochs.get(ino)?.includes(epoch) === true;
    const count = known ? this.#file(ino, epoch, dataFileName(ino, epoch)).file.read(offset, target) : 0;
    if (count < target.length) target.fill(0, count);
  }

  /** Makes what was written to this inode's files survive power loss. */
  async sync(ino: Ino): Promise<void> {
    const names = this.#unsynced.get(ino);
    if (names !== undefined) {
      this.#unsynced.delete(ino);
      try {
        await Promise.all([...names].map((name) => this.#syncFile(name)));
      } catch (error) {
        this.#unsynced.set(ino, new Set([...names, ...(this.#unsynced.get(ino) ?? [])]));
        throw error;
      }
    }
    if (this.#folderChanged || this.#folderSync.active) {
      this.#folderChanged = false;
      await this.#folderSync.run();
    }
  }

  /** Asks for a sync of this inode's files before the journal's next one. */
  hurry(ino: Ino): void {
    if (this.#unsynced.has(ino)) this.#eager.add(ino);
  }

  /** Syncs what was hurried. */
  async syncEager(): Promise<void> {
    while (this.#eager.size > 0) {
      const inos = [...this.#eager];
      this.#eager.clear();
      await Promise.all(inos.map((ino) => this.sync(ino)));
    }
  }

  /** The inode's files up to this epoch are not needed any more; `sweep` removes them. They must never be written again. */
  discard(ino: Ino, upTo: number): void {
    const epochs = this.#epochs.get(ino);
    if (epochs === undefined) return;
    const kept = epochs.filter((epoch) => epoch > upTo);
    for (const epoch of epochs) if (epoch <= upTo) this.#forget(ino, dataFileName(ino, epoch));
    if (kept.length > 0) this.#epochs.set(ino, kept);
    else this.#epochs.delete(ino);
  }

  /** What was discarded up to now, to be given to `remove` once the journal that says so is durable. */
  takeDiscarded(): string[] {
    const names = this.#trash;
    this.#trash = [];
    return names;
  }

  async remove(names: readonly string[]): Promise<void> {
    await this.#storage.removeFiles("data", names);
  }

  close(): void {
    for (const { file } of this.#open.values()) file.close();
    this.#open.clear();
  }

  #file(ino: Ino, epoch: number, name: string): OpenFile {
    const found = this.#open.get(name);
    if (found !== undefined) {
      this.#open.delete(name);
      this.#open.set(name, found);
      return found;
    }
    if (this.#epochs.get(ino)?.includes(epoch) !== true) {
      this.#note(ino, epoch);
      this.#folderChanged = true;
    }
    return this.#openFile(name);
  }

  #openFile(name: string): OpenFile {
    const file = this.#storage.openFile("data", name, true);
    if (file === undefined) throw new SynclineError("internal", "A data file was not made.");
    this.#closeOldest();
    const opened = { file, busy: 0 };
    this.#open.set(name, opened);
    return opened;
  }

  #closeOldest(): void {
    if (this.#open.size < this.#maxOpen) return;
    for (const [name, { file, busy }] of this.#open) {
      if (busy > 0) continue;
      file.close();
      this.#open.delete(name);
      return;
    }
  }

  async #syncFile(name: string): Promise<void> {
    const opened = this.#open.get(name) ?? this.#openFile(name);
    opened.busy++;
    try {
      await opened.file.sync();
    } finally {
      opened.busy--;
      if (opened.busy === 0 && this.#open.get(name) !== opened) opened.file.close();
    }
  }

  #forget(ino: Ino, name: string): void {
    const opened = this.#open.get(name);
    this.#open.delete(name);
    if (opened?.busy === 0) opened.file.close();
    const unsynced = this.#unsynced.get(ino);
    unsynced?.delete(name);
    if (unsynced?.size === 0) this.#unsynced.delete(ino);
    this.#trash.push(name);
  }

  #note(ino: Ino, epoch: number): void {
    const epochs = this.#epochs.get(ino);
    if (epochs === undefined) this.#epochs.set(ino, [epoch]);
    else epochs.push(epoch);
  }
}

export function dataFileName(ino: Ino, epoch: number): string {
  return `${ino}.${epoch}`;
}
