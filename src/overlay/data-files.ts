/**
 * Contents that are not published yet, by inode and epoch: small files together in shared files, others in sparse files
 * `<ino>.<epoch>` of their own, each byte at the file's offset. Of a sealed epoch nothing is ever written again.
 */
import type { Ino } from "../base/ids.ts";
import { SMALL_FILE_BYTES } from "../base/limits.ts";
import { OpenDataFiles } from "./open-files.ts";
import { SharedSync } from "./shared-sync.ts";
import { SmallFiles } from "./small-files.ts";
import type { OverlayStorage } from "./storage.ts";

export class DataFiles {
  readonly #storage: OverlayStorage;
  readonly #open: OpenDataFiles;
  readonly #small: SmallFiles;
  /** Epochs of which the inode has bytes here. */
  readonly #epochs = new Map<Ino, number[]>();
  /** Names of the files of their own. */
  readonly #own = new Set<string>();
  /** Files that were written to and not synced, by inode. */
  readonly #unsynced = new Map<Ino, Set<string>>();
  /** Inodes whose bytes must be durable before the journal says so: those that took another's name. */
  readonly #eager = new Set<Ino>();
  readonly #folderSync: SharedSync;
  #folderChanged = false;
  #discarded: string[] = [];

  /** Finds what there is. */
  constructor(storage: OverlayStorage, maxOpen: number) {
    this.#storage = storage;
    this.#folderSync = new SharedSync(() => storage.syncFolder("data"));
    this.#open = new OpenDataFiles(storage, maxOpen);
    for (const name of storage.list("data")) {
      const [, ino, epoch] = /^(\d+)\.(\d+)$/.exec(name) ?? [];
      if (ino === undefined) continue;
      this.#own.add(name);
      this.#note(Number(ino) as Ino, Number(epoch));
    }
    this.#small = new SmallFiles(storage, this.#open, {
      made: () => (this.#folderChanged = true),
      needless: (name) => this.#throwAway(name),
    });
    for (const [ino, epoch] of this.#small.all()) this.#note(ino, epoch);
  }

  /** Inodes that have bytes here. */
  inos(): Ino[] {
    return [...this.#epochs.keys()];
  }

  /** Files that wait to be removed. */
  get discarded(): number {
    return this.#discarded.length;
  }

  /** Throws `disk_full`; then bytes that were written before in this epoch are as they were, if none are written again. */
  write(ino: Ino, epoch: number, offset: number, bytes: Uint8Array): void {
    const name = dataFileName(ino, epoch);
    const isSmall = this.#small.has(ino, epoch) || !this.#own.has(name);
    if (isSmall && this.#small.accepts(ino, epoch, offset, bytes.length)) {
      this.#wrote(ino, epoch, this.#small.write(ino, epoch, offset, bytes));
      return;
    }
    if (this.#small.has(ino, epoch)) this.#moveOut(ino, epoch, name);
    this.#writeOwn(ino, epoch, name, offset, bytes);
  }

  /** Fills `target`. What power loss took from a file that was never synced reads as zeros. */
  read(ino: Ino, epoch: number, offset: number, target: Uint8Array): void {
    const name = dataFileName(ino, epoch);
    const isOwn = this.#own.has(name) && !this.#small.has(ino, epoch);
    const count = isOwn ? this.#open.file(name).read(offset, target) : 0;
    if (count < target.length) target.fill(0, count);
    if (!isOwn) this.#small.read(ino, epoch, offset, target);
  }

  /** Makes what was written to this inode survive power loss. */
  async sync(ino: Ino): Promise<void> {
    const names = this.#unsynced.get(ino);
    if (names !== undefined) {
      this.#unsynced.delete(ino);
      try {
        await Promise.all([...names].map((name) => this.#open.sync(name)));
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

  /** Asks for a sync of this inode before the journal's next one. */
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

  /** Nobody needs the inode's bytes of epochs up to this one any more; they must never be written again. */
  discard(ino: Ino, upTo: number): void {
    const epochs = this.#epochs.get(ino);
    if (epochs === undefined) return;
    const kept = epochs.filter((epoch) => epoch > upTo);
    for (const epoch of epochs) {
      if (epoch > upTo) continue;
      this.#small.drop(ino, epoch);
      const name = dataFileName(ino, epoch);
      if (this.#own.delete(name)) this.#throwAway(name);
      this.#unsynced.get(ino)?.delete(name);
    }
    if (kept.length > 0) {
      this.#epochs.set(ino, kept);
    } else {
      this.#epochs.delete(ino);
      this.#unsynced.delete(ino);
    }
  }

  /** What was discarded up to now, to be given to `remove` once the journal that says so is durable. */
  takeDiscarded(): string[] {
    const names = this.#discarded;
    this.#discarded = [];
    return names;
  }

  async remove(names: readonly string[]): Promise<void> {
    await this.#storage.removeFiles("data", names);
  }

  close(): void {
    this.#open.close();
  }

  /** The file grew: its bytes get a file of their own. Until that is said, the shared one counts. */
  #moveOut(ino: Ino, epoch: number, name: string): void {
    const buffer = new Uint8Array(SMALL_FILE_BYTES);
    for (const { offset, length } of this.#small.pieces(ino, epoch)?.all() ?? []) {
      const part = buffer.subarray(0, length);
      this.#small.read(ino, epoch, offset, part);
      this.#writeOwn(ino, epoch, name, offset, part);
    }
    this.#wrote(ino, epoch, this.#small.moved(ino, epoch));
  }

  #writeOwn(ino: Ino, epoch: number, name: string, offset: number, bytes: Uint8Array): void {
    const file = this.#open.file(name);
    if (!this.#own.has(name)) {
      this.#own.add(name);
      this.#note(ino, epoch);
      this.#folderChanged = true;
    }
    file.write(offset, bytes);
    this.#wrote(ino, epoch, name);
  }

  #wrote(ino: Ino, epoch: number, name: string): void {
    if (this.#epochs.get(ino)?.includes(epoch) !== true) this.#note(ino, epoch);
    const unsynced = this.#unsynced.get(ino);
    if (unsynced === undefined) this.#unsynced.set(ino, new Set([name]));
    else unsynced.add(name);
  }

  #throwAway(name: string): void {
    this.#open.forget(name);
    this.#discarded.push(name);
  }

  #note(ino: Ino, epoch: number): void {
    const epochs = this.#epochs.get(ino);
    if (epochs === undefined) this.#epochs.set(ino, [epoch]);
    else if (!epochs.includes(epoch)) epochs.push(epoch);
  }
}

export function dataFileName(ino: Ino, epoch: number): string {
  return `${ino}.${epoch}`;
}
