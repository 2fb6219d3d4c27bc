/**
 * Contents that are not published yet, by inode and epoch: small files together in shared files, others in sparse files
 * `<ino>.<epoch>` of their own, each byte at the file's offset. Of a sealed epoch nothing is ever written again.
 */
import { mapConcurrent } from "../../base/concurrency.ts";
import type { Ino } from "../../base/ids.ts";
import { SMALL_FILE_BYTES } from "../../base/limits.ts";
import { Beginnings } from "../beginnings.ts";
import type { Beginning } from "../beginnings.ts";
import { OpenDataFiles } from "./open-files.ts";
import { SharedSync } from "../disk/shared-sync.ts";
import { SmallFiles } from "./small-files.ts";
import { smallFilesOf } from "./small-pieces.ts";
import type { OverlayStorage } from "../disk/storage.ts";
import { UnsyncedFiles } from "./unsynced-files.ts";
import type { Unsynced } from "./unsynced-files.ts";

/** Files that are synced at once: few, so that the journal's own syncs find a free thread. */
const SYNCERS = 2;

export class DataFiles {
  readonly beginnings: Beginnings;
  readonly #storage: OverlayStorage;
  readonly #open: OpenDataFiles;
  readonly #small: SmallFiles;
  /** Epochs of which the inode has bytes here. */
  readonly #epochs = new Map<Ino, readonly number[]>();
  /** The last epoch as a list: most inodes have bytes of one only, and share it. */
  #lastEpoch: readonly number[] = [];
  /** Names of the files of their own. */
  readonly #own = new Set<string>();
  /** Written to with bytes that are nowhere else. */
  readonly #unsynced = new UnsyncedFiles();
  /** Written to with bytes that the journal carries, too, and must until these are synced. */
  readonly #carried = new UnsyncedFiles();
  /** Inodes whose bytes must be durable before the journal says so: those that took another's name. */
  readonly #eager = new Set<Ino>();
  /** Files of which somebody was told that bytes are durable: moving those must not lose them. */
  readonly #promised = new Set<string>();
  readonly #folderSync: SharedSync;
  /** At first: another process may have made files and not synced the folder. */
  #folderChanged = true;
  #discarded: string[] = [];

  /** Finds what there is. `earlyBytes`: of which size on files are told while they are written. */
  constructor(storage: OverlayStorage, maxOpen: number, earlyBytes?: number) {
    this.beginnings = new Beginnings(earlyBytes);
    this.#storage = storage;
    this.#folderSync = new SharedSync(() => storage.syncFolder("data"));
    this.#open = new OpenDataFiles(storage, maxOpen);
    for (const name of storage.list("data")) {
      const [, ino, epoch] = /^(\d+)\.(\d+)$/.exec(name) ?? [];
      if (ino === undefined) continue;
      this.#own.add(name);
      // What another process wrote may not be synced.
      this.#wrote(Number(ino) as Ino, Number(epoch), name, false);
    }
    this.#small = new SmallFiles(storage, this.#open, {
      made: () => (this.#folderChanged = true),
      needless: (name) => this.#throwAway(name),
    });
    // Which of them moved out of a shared file is said there.
    for (const { name, epoch } of smallFilesOf(storage))
      for (const [ino, epochs] of this.#epochs) if (epochs.includes(epoch)) this.#wrote(ino, epoch, name, false);
    for (const [ino, epoch] of this.#small.all()) {
      for (const part of this.#small.pieces(ino, epoch)?.parts ?? []) this.#wrote(ino, epoch, part, false);
      this.#promised.add(dataFileName(ino, epoch));
    }
  }

  /** Inodes that have bytes here. */
  inos(): Ino[] {
    return [...this.#epochs.keys()];
  }

  /** Files that wait to be removed. */
  get discarded(): number {
    return this.#discarded.length;
  }

  /** Whether the journal carries some of these bytes, which the data files may lack after power loss. */
  isCarried(ino: Ino, offset: number, length: number): boolean {
    return this.#carried.meets(ino, offset, offset + length);
  }

  /**
   * `carried`: the journal has the bytes too, so that `sync` need not care. Throws `disk_full`; then bytes that were written
   * before in this epoch are as they were, if none are written again.
   */
  write(ino: Ino, epoch: number, offset: number, bytes: Uint8Array, carried = false): void {
    const name = dataFileName(ino, epoch);
    const isSmall = this.#small.has(ino, epoch) || !this.#own.has(name);
    if (isSmall && this.#small.accepts(ino, epoch, offset, bytes.length)) {
      this.#wrote(ino, epoch, this.#small.write(ino, epoch, offset, bytes), carried, offset, offset + bytes.length);
      return;
    }
    if (this.#small.has(ino, epoch)) this.#moveOut(ino, epoch, name);
    this.#writeOwn(ino, epoch, name, offset, bytes, carried);
  }

  /** Writes bytes that the journal carries, unless they are there. */
  restore(ino: Ino, epoch: number, offset: number, bytes: Uint8Array): void {
    const there = new Uint8Array(bytes.length);
    this.read(ino, epoch, offset, there);
    if (Buffer.compare(there, bytes) !== 0) return this.write(ino, epoch, offset, bytes, true);
    const own = dataFileName(ino, epoch);
    const names = this.#small.pieces(ino, epoch)?.parts ?? (this.#own.has(own) ? [own] : []);
    // To be there is not to be durable.
    for (const name of names) this.#wrote(ino, epoch, name, true, offset, offset + bytes.length);
  }

  /** Fills `target`. What power loss took from a file that was never synced reads as zeros. */
  read(ino: Ino, epoch: number, offset: number, target: Uint8Array): void {
    const name = dataFileName(ino, epoch);
    const isOwn = this.#own.has(name) && !this.#small.has(ino, epoch);
    const count = isOwn ? this.#open.file(name).read(offset, target) : 0;
    if (count < target.length) target.fill(0, count);
    if (!isOwn) this.#small.read(ino, epoch, offset, target);
  }

  /** Whether the bytes of a file of its own are as they were when they were told. */
  isSteady(beginning: Beginning): boolean {
    const { ino, epoch } = beginning;
    // While it moves out of a shared file, that one counts.
    return !this.#small.has(ino, epoch) && this.beginnings.isSteady(dataFileName(ino, epoch), beginning);
  }

  /** Makes what was written to this inode survive power loss, apart from what the journal carries. */
  async sync(ino: Ino): Promise<void> {
    this.#promise(ino);
    if (!this.#unsynced.has(ino)) return;
    const [unsynced, carried] = [this.#unsynced.mark([ino]), this.#carried.mark([ino])];
    await this.#syncFiles(unsynced, carried);
    this.#unsynced.settle(unsynced);
    this.#carried.settle(carried);
  }

  /** Whether `sync` and `syncEager` find nothing to do: then this stands for both. */
  isSynced(ino: Ino): boolean {
    if (this.#unsynced.has(ino) || this.#eager.size > 0) return false;
    this.#promise(ino);
    return true;
  }

  /** Makes all that the journal carries up to now survive power loss without it. */
  async syncCarried(): Promise<void> {
    const carried = this.#carried.mark(this.#carried.inos());
    if (carried.names.size === 0) return;
    await this.#syncFiles(carried);
    this.#carried.settle(carried);
  }

  /** Asks for a sync of this inode before the journal's next one. */
  hurry(ino: Ino): void {
    if (this.#unsynced.has(ino)) this.#eager.add(ino);
  }

  /** Syncs what was hurried; what could not be, the next call does. */
  async syncEager(): Promise<void> {
    while (this.#eager.size > 0) {
      const inos = [...this.#eager];
      this.#eager.clear();
      try {
        await Promise.all(inos.map((ino) => this.sync(ino)));
      } catch (error) {
        for (const ino of inos) this.#eager.add(ino);
        throw error;
      }
    }
  }

  /** Nobody needs the inode's bytes of epochs up to this one any more; they must never be written again. */
  discard(ino: Ino, upTo: number): void {
    const epochs = this.#epochs.get(ino);
    if (epochs === undefined) return;
    const kept = epochs.filter((epoch) => epoch > upTo);
    for (const epoch of epochs) {
      if (epoch > upTo) continue;
      this.#small.drop(ino, epoch);
      const name = dataFileName(ino, epoch);
      this.beginnings.forget(name);
      this.#promised.delete(name);
      if (this.#own.delete(name)) this.#throwAway(name);
      this.#unsynced.forget(ino, name);
      this.#carried.forget(ino, name);
    }
    if (kept.length > 0) {
      this.#epochs.set(ino, kept);
    } else {
      this.#epochs.delete(ino);
      this.#unsynced.forget(ino);
      this.#carried.forget(ino);
    }
  }

  /** Removes what was discarded, once the journal that says so is durable; after a failure it waits again. */
  async removeDiscarded(makeDurable: () => Promise<void>): Promise<void> {
    const names = this.#discarded;
    if (names.length === 0) return;
    this.#discarded = [];
    try {
      await makeDurable();
      await this.#storage.removeFiles("data", names);
    } catch (error) {
      this.#discarded = [...names, ...this.#discarded];
      throw error;
    }
  }

  close(): void {
    this.#open.close();
  }

  /**
   * The file grew: its bytes get a file of their own. Until that is said, the shared one counts; it may be said only once bytes
   * that were synced before are durable in their new place, since nobody knows in which order unsynced writes reach the disk.
   */
  #moveOut(ino: Ino, epoch: number, name: string): void {
    const buffer = new Uint8Array(SMALL_FILE_BYTES);
    for (const { offset, length } of this.#small.pieces(ino, epoch)?.all() ?? []) {
      const part = buffer.subarray(0, length);
      this.#small.read(ino, epoch, offset, part);
      this.#writeOwn(ino, epoch, name, offset, part, false);
    }
    if (this.#promised.delete(name)) {
      this.#open.syncNow(name);
      this.#storage.syncFolderNow("data");
    }
    for (const part of this.#small.moved(ino, epoch)) this.#wrote(ino, epoch, part, false);
  }

  #promise(ino: Ino): void {
    for (const epoch of this.#epochs.get(ino) ?? [])
      if (this.#small.has(ino, epoch)) this.#promised.add(dataFileName(ino, epoch));
  }

  async #syncFiles(...files: Unsynced[]): Promise<void> {
    const names = new Set<string>();
    for (const each of files) for (const name of each.names) names.add(name);
    await mapConcurrent([...names], SYNCERS, (name) => this.#open.sync(name));
    if (!this.#folderChanged && !this.#folderSync.active) return;
    this.#folderChanged = false;
    try {
      await this.#folderSync.run();
    } catch (error) {
      this.#folderChanged = true;
      throw error;
    }
  }

  #writeOwn(ino: Ino, epoch: number, name: string, offset: number, bytes: Uint8Array, carried: boolean): void {
    const file = this.#open.file(name);
    if (!this.#own.has(name)) {
      this.#own.add(name);
      this.#note(ino, epoch);
      this.#folderChanged = true;
    }
    this.beginnings.writing(name, offset);
    file.write(offset, bytes);
    this.beginnings.wrote(name, ino, epoch, offset, offset + bytes.length);
    this.#wrote(ino, epoch, name, carried, offset, offset + bytes.length);
  }

  /** The bytes [from, to) of the inode were written to a file, or some that nobody knows. */
  #wrote(ino: Ino, epoch: number, name: string, carried: boolean, from = 0, to = Infinity): void {
    if (this.#epochs.get(ino)?.includes(epoch) !== true) this.#note(ino, epoch);
    (carried ? this.#carried : this.#unsynced).note(ino, name, from, to);
  }

  #throwAway(name: string): void {
    this.#open.forget(name);
    this.#discarded.push(name);
  }

  #note(ino: Ino, epoch: number): void {
    const epochs = this.#epochs.get(ino);
    if (this.#lastEpoch[0] !== epoch) this.#lastEpoch = [epoch];
    if (epochs === undefined) this.#epochs.set(ino, this.#lastEpoch);
    else if (!epochs.includes(epoch)) this.#epochs.set(ino, [...epochs, epoch]);
  }
}

export function dataFileName(ino: Ino, epoch: number): string {
  return `${ino}.${epoch}`;
}
