/**
 * Unpublished contents, by inode and epoch. Small files share files; others have a sparse file `<ino>.<epoch>` of their
 * own, each byte at the file's own offset. Files of a sealed epoch are never written again.
 */
import { mapConcurrent } from "../../base/concurrency.ts";
import type { Ino } from "../../base/ids.ts";
import { SMALL_FILE_BYTES } from "../../base/limits.ts";
import { type Beginning, Beginnings } from "../beginnings.ts";
import { dataFileName, parseDataFileName } from "./data-file-names.ts";
import { EagerInodes } from "./eager-inodes.ts";
import { FileSyncs } from "./file-syncs.ts";
import { OpenDataFiles } from "./open-files.ts";
import { SharedRun } from "../../base/shared-run.ts";
import { SmallFiles } from "./small-files.ts";
import { StoredBytes } from "./stored-bytes.ts";
import type { Segment } from "../../fstree/change-set.ts";
import { goneDataFile } from "../disk/storage-error.ts";
import type { OverlayStorage } from "../disk/storage.ts";
import type { JournalRecord } from "../journal/journal-record.ts";
import { around, type Span, type Unsynced, UnsyncedFiles } from "./unsynced-files.ts";

/** Files synced at once: few, so that the journal's own syncs find a free thread. */
const SYNCERS = 2;

export class DataFiles {
  readonly beginnings: Beginnings;
  readonly stored = new StoredBytes();
  readonly #storage: OverlayStorage;
  readonly #open: OpenDataFiles;
  readonly #small: SmallFiles;
  /** The epochs for which the inode has bytes here. */
  readonly #epochs = new Map<Ino, readonly number[]>();
  /** The last epoch as a list: most inodes have bytes of one epoch only, and share it. */
  #lastEpoch: readonly number[] = [];
  /** Names of data files that hold one inode. */
  readonly #own = new Set<string>();
  /** Files with unsynced bytes that exist nowhere else. */
  readonly #unsynced = new UnsyncedFiles();
  /** Files with unsynced bytes that the journal carries too, and must keep until these are synced. */
  readonly #carried = new UnsyncedFiles();
  readonly #eager = new EagerInodes((ino) => this.sync(ino));
  readonly #syncs: FileSyncs;
  readonly #folderSync: SharedRun;
  /** True at first: another process may have created files without syncing the folder. */
  #folderChanged = true;
  #discarded: string[] = [];

  /** Finds existing files. `earlyBytes`: the size from which files are reported while they are written. */
  constructor(storage: OverlayStorage, maxOpen: number, earlyBytes?: number) {
    this.beginnings = new Beginnings(earlyBytes);
    this.#storage = storage;
    this.#folderSync = new SharedRun(() => storage.syncFolder("data"));
    this.#open = new OpenDataFiles(storage, maxOpen);
    this.#syncs = new FileSyncs(this.#open);
    for (const name of storage.list("data")) {
      const found = parseDataFileName(name);
      if (found === undefined) continue;
      this.#own.add(name);
      // Writes of another process may be unsynced.
      this.#wrote(found.ino, found.epoch, name, false);
    }
    this.#small = new SmallFiles(storage, this.#open, {
      made: () => (this.#folderChanged = true),
      grew: (name, bytes, end) => this.stored.grew(name, bytes, end),
      foundMoved: (ino, epoch, names) => {
        if (!this.#own.has(dataFileName(ino, epoch))) return;
        for (const name of names) this.#wrote(ino, epoch, name, false);
      },
      needless: (name) => this.#throwAway(name),
    });
    this.#small.forEach((ino, epoch, pieces) => {
      for (const part of pieces.parts) this.#wrote(ino, epoch, part, false);
      pieces.isPromised = true;
    });
  }

  /** Inodes that have bytes here. */
  inos(): Ino[] {
    return [...this.#epochs.keys()];
  }

  /** How many bytes a write adds at most; `fresh`: how many of them the inode lacks in this epoch. */
  growth(ino: Ino, epoch: number, offset: number, length: number, fresh: number): number {
    const isOwn = this.#own.has(dataFileName(ino, epoch)) && !this.#small.has(ino, epoch);
    return isOwn ? fresh : this.#small.growth(ino, epoch, offset, length);
  }

  /** Where the inode's bytes of this epoch end; 0 if it has none. */
  endOf(ino: Ino, epoch: number): number {
    const pieces = this.#small.pieces(ino, epoch);
    if (pieces !== undefined) return pieces.end;
    const name = dataFileName(ino, epoch);
    return this.#own.has(name) ? this.#open.existing(name).size() : 0;
  }

  /** The inode's bytes of this epoch are lost: they read as zeros from now on. Throws `disk_full`. */
  lose(ino: Ino, epoch: number): void {
    const name = dataFileName(ino, epoch);
    if (this.endOf(ino, epoch) === 0)
      this.#writeOwn(ino, epoch, name, 0, new Uint8Array(), { carried: false, again: true });
  }

  /** Inodes that have files of their own. */
  ownInos(): Set<Ino> {
    return new Set(Array.from(this.#own, (name) => Number.parseInt(name, 10) as Ino));
  }

  /** After a start: counts an inode's bytes, which lie in these segments. */
  found(ino: Ino, segments: readonly Segment[]): void {
    const own = segments.filter(({ epoch }) => this.#own.has(dataFileName(ino, epoch)));
    this.stored.found(own, (epoch) => dataFileName(ino, epoch));
  }

  /** Files waiting to be removed. */
  get discarded(): number {
    return this.#discarded.length;
  }

  /** Whether the journal carries some of these bytes: the data files may lack them after power loss. */
  isCarried(ino: Ino, offset: number, length: number): boolean {
    return this.#carried.meets(ino, offset, offset + length);
  }

  /**
   * `carried`: the journal has the bytes too, so `sync` may skip them. `again`: the inode has bytes there in this epoch.
   * Throws `disk_full`; then bytes written earlier in this epoch are unchanged, unless this write covers them.
   */
  write(ino: Ino, epoch: number, offset: number, bytes: Uint8Array, carried = false, again = false): void {
    const name = dataFileName(ino, epoch);
    const isSmall = this.#small.has(ino, epoch) || !this.#own.has(name);
    if (isSmall && this.#small.accepts(ino, epoch, offset, bytes.length)) {
      this.#wrote(ino, epoch, this.#small.write(ino, epoch, offset, bytes), carried, offset, offset + bytes.length);
      return;
    }
    if (this.#small.has(ino, epoch)) this.#moveOut(ino, epoch, name);
    this.#writeOwn(ino, epoch, name, offset, bytes, { carried, again });
  }

  /** Writes bytes that the journal carries, if they are missing. Bytes that are present need not be durable. */
  restore(ino: Ino, epoch: number, offset: number, bytes: Uint8Array): void {
    const there = new Uint8Array(bytes.length);
    this.read(ino, epoch, offset, there);
    if (Buffer.compare(there, bytes) !== 0) this.write(ino, epoch, offset, bytes, true);
    // The journal must keep them until every file that holds them, or says where they are, is synced.
    for (const name of this.#unsynced.mark([ino]).names.keys())
      this.#wrote(ino, epoch, name, true, offset, offset + bytes.length);
  }

  /** Fills `target`. Bytes of a never synced file that power loss took read as zeros. */
  read(ino: Ino, epoch: number, offset: number, target: Uint8Array): void {
    const name = dataFileName(ino, epoch);
    const isOwn = this.#own.has(name) && !this.#small.has(ino, epoch);
    const count = isOwn ? this.#open.existing(name).read(offset, target) : 0;
    if (count < target.length) target.fill(0, count);
    if (!isOwn) this.#small.read(ino, epoch, offset, target);
  }

  /** Whether the bytes of a data file are as they were when reported. */
  isSteady(beginning: Beginning): boolean {
    const { ino, epoch } = beginning;
    // While the inode moves out of a shared file, the shared file counts.
    return !this.#small.has(ino, epoch) && this.beginnings.isSteady(dataFileName(ino, epoch), beginning);
  }

  /** Makes the inode's written bytes survive power loss, except those that the journal carries. */
  async sync(ino: Ino): Promise<void> {
    this.#promise(ino);
    if (!this.#unsynced.has(ino)) return;
    const [unsynced, carried] = [this.#unsynced.mark([ino]), this.#carried.mark([ino])];
    await this.#syncFiles(unsynced, carried);
    this.#unsynced.settle(unsynced);
    this.#carried.settle(carried);
  }

  /** Whether `sync` and `syncEager` have nothing to do: then this replaces both. */
  isSynced(ino: Ino): boolean {
    if (this.#unsynced.has(ino) || !this.#eager.isDone) return false;
    this.#promise(ino);
    return true;
  }

  /** Makes durable what a checkpoint relies on: files that took over a name, and bytes that only the journal has. */
  async syncForCheckpoint(): Promise<void> {
    await this.syncEager();
    await this.#syncCarried();
  }

  async #syncCarried(): Promise<void> {
    const carried = this.#carried.mark(this.#carried.inos());
    if (carried.names.size === 0) return;
    await this.#syncFiles(carried);
    this.#carried.settle(carried);
  }

  /** Notes a rename over another file: it must not become durable before the file's bytes. */
  noteTakeOver(record: JournalRecord): void {
    if (record.kind !== "rename" || record.other === 0 || record.exchange) return;
    if (this.#unsynced.has(record.ino)) this.#eager.add(record.ino);
  }

  /** Syncs files that took over a name. The next call retries failed ones once (eager-inodes.ts). */
  syncEager(): Promise<void> {
    return this.#eager.run();
  }

  /** The live epoch was sealed. */
  sealed(): void {
    this.#small.sealed();
  }

  /** Discards the inode's bytes of epochs up to this one; they must never be written again. */
  discard(ino: Ino, upTo: number): void {
    const epochs = this.#epochs.get(ino);
    if (epochs === undefined) return;
    const kept = epochs.filter((epoch) => epoch > upTo);
    for (const epoch of epochs) {
      if (epoch > upTo) continue;
      this.#small.drop(ino, epoch);
      const name = dataFileName(ino, epoch);
      this.beginnings.forget(name);
      if (this.#own.delete(name)) this.#throwAway(name);
      this.#unsynced.forget(ino, name);
      this.#carried.forget(ino, name);
    }
    if (kept.length > 0) {
      this.#epochs.set(ino, kept);
    } else {
      this.#epochs.delete(ino);
      this.#eager.forget(ino);
      this.#unsynced.forget(ino);
      this.#carried.forget(ino);
    }
  }

  /** Removes discarded files, once the journal that says so is durable; after a failure they wait again. */
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
    for (const name of names) this.stored.removed(name);
  }

  close(): void {
    this.#open.close();
  }

  /**
   * The file grew: its bytes move to a file of their own. Until the shared file records that, the shared file counts. It
   * may record it only once bytes that were synced before are durable in their new place, since unsynced writes reach the
   * disk in any order.
   */
  #moveOut(ino: Ino, epoch: number, name: string): void {
    const buffer = new Uint8Array(SMALL_FILE_BYTES);
    const pieces = this.#small.pieces(ino, epoch);
    for (const { offset, length } of pieces?.all() ?? []) {
      const part = buffer.subarray(0, length);
      this.#small.read(ino, epoch, offset, part);
      this.#writeOwn(ino, epoch, name, offset, part, { carried: false, again: false });
    }
    if (pieces?.isPromised === true) {
      // If it fails, the next try writes the bytes again.
      this.#open.syncNow(name);
      this.#storage.syncFolderNow("data");
      pieces.isPromised = false;
    }
    for (const part of this.#small.moved(ino, epoch)) this.#wrote(ino, epoch, part, false);
  }

  #promise(ino: Ino): void {
    for (const epoch of this.#epochs.get(ino) ?? []) {
      const pieces = this.#small.pieces(ino, epoch);
      if (pieces !== undefined) pieces.isPromised = true;
    }
  }

  async #syncFiles(...files: Unsynced[]): Promise<void> {
    const names = new Map<string, Span>();
    for (const each of files) for (const [name, span] of each.names) names.set(name, around(span, names.get(name)));
    await mapConcurrent([...names], SYNCERS, ([name, span]) => this.#syncFile(name, span));
    if (!this.#folderChanged && !this.#folderSync.active) return;
    this.#folderChanged = false;
    try {
      await this.#folderSync.run();
    } catch (error) {
      this.#folderChanged = true;
      throw error;
    }
  }

  async #syncFile(name: string, span: Span): Promise<void> {
    // Shared files place bytes elsewhere than their inodes.
    const exists = await this.#syncs.sync(name, this.#own.has(name) ? span : { from: 0, to: Infinity });
    if (exists) return;
    if (this.#own.has(name) || this.#small.keeps(name)) throw goneDataFile(name);
    // A shared file may be removed before its marks are durable. Then the removal must be durable.
    this.#folderChanged = true;
  }

  #writeOwn(
    ino: Ino,
    epoch: number,
    name: string,
    offset: number,
    bytes: Uint8Array,
    how: { carried: boolean; again: boolean },
  ): void {
    const end = offset + bytes.length;
    const isNew = !this.#own.has(name);
    const file = isNew ? this.#open.file(name) : this.#open.existing(name);
    if (isNew) {
      this.#own.add(name);
      this.#note(ino, epoch);
      this.#folderChanged = true;
    }
    this.beginnings.writing(name, offset);
    file.write(offset, bytes);
    this.beginnings.wrote(name, ino, epoch, offset, end);
    if (!how.again) this.stored.grew(name, bytes.length, end);
    this.#wrote(ino, epoch, name, how.carried, offset, end);
  }

  /** Bytes [from, to) of the inode were written to a file, or possibly some of them. */
  #wrote(ino: Ino, epoch: number, name: string, carried: boolean, from = 0, to = Infinity): void {
    if (this.#epochs.get(ino)?.includes(epoch) !== true) this.#note(ino, epoch);
    (carried ? this.#carried : this.#unsynced).note(ino, name, from, to);
  }

  #throwAway(name: string): void {
    this.#syncs.forget(name);
    this.#open.forget(name);
    this.stored.unneeded(name);
    this.#discarded.push(name);
  }

  #note(ino: Ino, epoch: number): void {
    const epochs = this.#epochs.get(ino);
    if (this.#lastEpoch[0] !== epoch) this.#lastEpoch = [epoch];
    if (epochs === undefined) this.#epochs.set(ino, this.#lastEpoch);
    else if (!epochs.includes(epoch)) this.#epochs.set(ino, [...epochs, epoch]);
  }
}
