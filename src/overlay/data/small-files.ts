/**
 * Small files of the live epoch, written one after another into shared files (small-pieces.ts): creating a file for each
 * costs several times as much as writing it. A shared file is removed once none of its inodes needs it. A file that is
 * written again after its shared file was completed moves to a file of its own.
 */
import type { Ino } from "../../base/ids.ts";
import { SHARED_FILE_BYTES, SMALL_FILE_BYTES } from "../../base/limits.ts";
import { smallName } from "./data-file-names.ts";
import type { OpenDataFiles } from "./open-files.ts";
import {
  ENTRY_HEADER_BYTES,
  entryBytes,
  type Piece,
  Pieces,
  readEntries,
  smallFilesOf,
  writeEntryHeader,
} from "./small-pieces.ts";
import type { OverlayStorage } from "../disk/storage.ts";

/** A file that is written to is kept without inodes up to this size: programs make and remove small files all the time. */
const NEEDLESS_BYTES = 1024 * 1024;

interface SharedFile {
  readonly name: string;
  readonly epoch: number;
  /** The number of small files with entries in it, and of scans. */
  users: number;
  bytes: number;
}

/** Notified when shared files are created or removed. */
export interface SmallFilesOwner {
  /** A new one is about to be created. */
  made(): void;
  /** A shared file got `bytes` more bytes, and now ends at `end`. */
  grew(name: string, bytes: number, end: number): void;
  /** At a start: the inode's bytes have moved out of these shared files. The marks that say so may be unsynced. */
  foundMoved(ino: Ino, epoch: number, names: readonly string[]): void;
  needless(name: string): void;
}

export class SmallFiles {
  readonly #open: OpenDataFiles;
  readonly #owner: SmallFilesOwner;
  /** By epoch and inode: few epochs exist at a time. */
  readonly #files = new Map<number, Map<Ino, Pieces>>();
  readonly #shared = new Map<string, SharedFile>();
  readonly #buffer = Buffer.alloc(entryBytes(SMALL_FILE_BYTES));
  #current: SharedFile | undefined;
  #nextPart = 0;

  /** Finds existing files. */
  constructor(storage: OverlayStorage, open: OpenDataFiles, owner: SmallFilesOwner) {
    this.#open = open;
    this.#owner = owner;
    for (const { name, epoch, part } of smallFilesOf(storage)) {
      // The scan is a user: the file stays open, even if all inodes seen so far have moved out.
      const shared = { name, epoch, users: 1, bytes: 0 };
      this.#shared.set(name, shared);
      // Later writes go to a new file: the end of an old one may be torn.
      this.#nextPart = Math.max(this.#nextPart, part + 1);
      for (const { ino, offset, length, at, end } of readEntries(open.existing(name))) {
        if (length === undefined) this.#foundMoved(ino, epoch, name);
        else this.#put(ino, epoch, { offset, length, part: name, at });
        shared.bytes = end;
      }
      owner.grew(name, shared.bytes, shared.bytes);
      this.#leave(name);
    }
  }

  /** Whether some file needs this shared file, or may get bytes there. */
  keeps(name: string): boolean {
    return this.#shared.has(name);
  }

  has(ino: Ino, epoch: number): boolean {
    return this.pieces(ino, epoch) !== undefined;
  }

  forEach(visit: (ino: Ino, epoch: number, pieces: Pieces) => void): void {
    for (const [epoch, files] of this.#files) files.forEach((pieces, ino) => visit(ino, epoch, pieces));
  }

  /** Whether the file remains small enough after this write, and its entries remain in one shared file. */
  accepts(ino: Ino, epoch: number, offset: number, length: number): boolean {
    if (offset + length > SMALL_FILE_BYTES) return false;
    const pieces = this.pieces(ino, epoch);
    if (pieces === undefined || pieces.holding(offset, length) !== undefined) return true;
    const room = this.#roomFor(epoch, length);
    return room !== undefined && pieces.isIn(room.name) && pieces.written + length <= 2 * SMALL_FILE_BYTES;
  }

  /** How many bytes a write adds at most, here or, once the file is too large, in a file of its own. */
  growth(ino: Ino, epoch: number, offset: number, length: number): number {
    const pieces = this.pieces(ino, epoch);
    if (pieces?.holding(offset, length) !== undefined) return 0;
    if (this.accepts(ino, epoch, offset, length)) return entryBytes(length);
    // Its bytes move to their own file, and each shared file gets an entry that marks them as gone.
    const moved = (pieces?.all() ?? []).reduce((sum, piece) => sum + piece.length, 0);
    return moved + length + entryBytes(0) * (pieces?.parts.length ?? 0);
  }

  /** Returns the name of the shared file written to. Throws `disk_full`; then nothing changed. */
  write(ino: Ino, epoch: number, offset: number, bytes: Uint8Array): string {
    const held = this.pieces(ino, epoch)?.holding(offset, bytes.length);
    if (held !== undefined) {
      this.#open.existing(held.part).write(held.at + offset - held.offset, bytes);
      return held.part;
    }
    const shared = this.#sharedFor(epoch, bytes.length);
    const entry = this.#buffer.subarray(0, entryBytes(bytes.length));
    writeEntryHeader(entry, ino, offset, bytes.length);
    entry.set(bytes, ENTRY_HEADER_BYTES);
    this.#append(shared, entry);
    this.#put(ino, epoch, { offset, length: bytes.length, part: shared.name, at: shared.bytes + ENTRY_HEADER_BYTES });
    this.#grew(shared, entry.length);
    return shared.name;
  }

  /** Copies the available bytes of the range into `target`. */
  read(ino: Ino, epoch: number, offset: number, target: Uint8Array): void {
    this.pieces(ino, epoch)?.read(offset, target, (part) => this.#open.existing(part));
  }

  pieces(ino: Ino, epoch: number): Pieces | undefined {
    return this.#files.get(epoch)?.get(ino);
  }

  /**
   * Records that the bytes are in a file of their own now. Returns the shared files that record it: all with entries of the
   * inode, since any of them may outlive the others. Throws `disk_full`; then nothing changed.
   */
  moved(ino: Ino, epoch: number): readonly string[] {
    const parts = this.pieces(ino, epoch)?.parts ?? [];
    // A mark covers the entries before it, so the newest file comes first: a kill in between loses nothing.
    this.#mark(ino, parts.toReversed());
    this.drop(ino, epoch);
    return parts;
  }

  /** The live epoch was sealed. Its files get no more writes, so each is removed with its last inode. */
  sealed(): void {
    const current = this.#current;
    this.#current = undefined;
    if (current?.users === 0) this.#release(current);
  }

  /** The inode's bytes of this epoch are no longer referenced. */
  drop(ino: Ino, epoch: number): void {
    const files = this.#files.get(epoch);
    const pieces = files?.get(ino);
    if (files === undefined || pieces === undefined) return;
    files.delete(ino);
    if (files.size === 0) this.#files.delete(epoch);
    for (const part of pieces.parts) this.#leave(part);
  }

  #put(ino: Ino, epoch: number, piece: Piece): void {
    let files = this.#files.get(epoch);
    if (files === undefined) this.#files.set(epoch, (files = new Map()));
    let pieces = files.get(ino);
    if (pieces === undefined) files.set(ino, (pieces = new Pieces()));
    const shared = pieces.isIn(piece.part) ? undefined : this.#shared.get(piece.part);
    if (shared !== undefined) shared.users++;
    pieces.put(piece);
  }

  /** A start found a mark. Earlier files that lack one get it now: the marked file may be removed first. */
  #foundMoved(ino: Ino, epoch: number, marked: string): void {
    const unmarked = (this.pieces(ino, epoch)?.parts ?? []).filter((part) => part !== marked);
    this.#mark(ino, unmarked);
    this.#owner.foundMoved(ino, epoch, [marked, ...unmarked]);
    this.drop(ino, epoch);
  }

  #mark(ino: Ino, parts: readonly string[]): void {
    const entry = this.#buffer.subarray(0, ENTRY_HEADER_BYTES);
    writeEntryHeader(entry, ino, 0, undefined);
    const marked: SharedFile[] = [];
    try {
      for (const part of parts) {
        const shared = this.#shared.get(part);
        if (shared === undefined) continue;
        this.#append(shared, entry);
        this.#grew(shared, entry.length);
        marked.push(shared);
      }
    } catch (error) {
      for (const shared of marked) this.#unmark(shared);
      throw error;
    }
  }

  #leave(part: string): void {
    const shared = this.#shared.get(part);
    if (shared === undefined) return;
    shared.users--;
    if (shared.users > 0) return;
    const isCurrent = shared === this.#current;
    if (isCurrent && shared.bytes < NEEDLESS_BYTES) return;
    if (isCurrent) this.#current = undefined;
    this.#release(shared);
  }

  #release(shared: SharedFile): void {
    this.#shared.delete(shared.name);
    this.#owner.needless(shared.name);
  }

  /** The shared file that the next entry of this length goes to. Undefined: to a new one. */
  #roomFor(epoch: number, length: number): SharedFile | undefined {
    const current = this.#current;
    return current?.epoch === epoch && current.bytes + entryBytes(length) <= SHARED_FILE_BYTES ? current : undefined;
  }

  #sharedFor(epoch: number, length: number): SharedFile {
    const room = this.#roomFor(epoch, length);
    if (room !== undefined) return room;
    const current = this.#current;
    const shared = { name: smallName(epoch, this.#nextPart++), epoch, users: 0, bytes: 0 };
    this.#shared.set(shared.name, shared);
    this.#current = shared;
    this.#owner.made();
    if (current !== undefined && current.users === 0) this.#release(current);
    return shared;
  }

  #grew(shared: SharedFile, bytes: number): void {
    shared.bytes += bytes;
    this.#owner.grew(shared.name, bytes, shared.bytes);
  }

  #append(shared: SharedFile, entry: Buffer): void {
    const file = shared.bytes === 0 ? this.#open.file(shared.name) : this.#open.existing(shared.name);
    try {
      file.write(shared.bytes, entry);
    } catch (error) {
      this.#erase(shared, file);
      throw error;
    }
  }

  /** Withdraws the mark at the end of a shared file. Its space is allocated, so this needs none. */
  #unmark(shared: SharedFile): void {
    shared.bytes -= ENTRY_HEADER_BYTES;
    this.#open.existing(shared.name).write(shared.bytes, Buffer.alloc(ENTRY_HEADER_BYTES));
  }

  /** Erases a partial write, which a restart could mistake for an entry. */
  #erase({ bytes }: SharedFile, file: { size(): number; write(offset: number, bytes: Uint8Array): void }): void {
    try {
      const there = Math.min(ENTRY_HEADER_BYTES, file.size() - bytes);
      if (there > 0) file.write(bytes, Buffer.alloc(there));
    } catch {
      // If this failed too, writing continues in a new file; the original error is what counts.
      this.#current = undefined;
    }
  }
}
