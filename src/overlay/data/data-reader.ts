/** Reads unpublished contents of sealed epochs from a state folder, from any thread, while the overlay continues. */
import { nextTurn } from "../../base/concurrency.ts";
import type { Ino } from "../../base/ids.ts";
import type { DataReader } from "../../fstree/change-set.ts";
import { dataFileName } from "./data-file-names.ts";
import { DiskStorage } from "../disk/disk-storage.ts";
import { SmallFileIndex } from "./small-file-index.ts";
import { readEntries, smallFilesOf } from "./small-pieces.ts";
import { goneDataFile } from "../disk/storage-error.ts";
import type { OverlayStorage, StoredFile } from "../disk/storage.ts";

/** Reads bytes only: the overlay knows where a file has holes. */
export interface DataFileReader extends DataReader {
  readData(...range: Parameters<DataReader["readData"]>): Promise<Uint8Array>;
}

/** Throws `store_failed`. */
export function createDataReader(stateDir: string): DataFileReader {
  return dataReaderOf(new DiskStorage(stateDir));
}

/**
 * Opens files for each read, so that removed files do not occupy the disk. A shared file stays open for all reads of it in
 * one turn of the event loop. Bytes beyond a file's end are zeros (lost-bytes.ts); a file that is gone is `store_failed`.
 */
export function dataReaderOf(storage: OverlayStorage): DataFileReader {
  const indexes = new Indexes(storage);
  const parts = new OpenPart(storage);
  return {
    async readData(ino, epoch, offset, length, target) {
      const bytes = target?.subarray(0, length) ?? new Uint8Array(length);
      const pieces = indexes.of(epoch).pieces(ino);
      if (pieces !== undefined) bytes.fill(0);
      const name = dataFileName(ino, epoch);
      if (pieces === undefined) withFile(storage, name, (file) => readFrom(file, name, offset, bytes));
      for (const { offset: start, length: each, part, at } of pieces ?? []) {
        const from = Math.max(offset, start);
        const to = Math.min(offset + length, start + each);
        if (from < to) readFrom(parts.open(part), part, at + from - start, bytes.subarray(from - offset, to - offset));
      }
      return bytes;
    },
  };
}

/**
 * Reads from the data file of an epoch that is still written to; returns the number of bytes read. The overlay decides
 * which bytes these are, and whether they stay (beginnings.ts). Throws `store_failed`.
 */
export type ReadLive = (ino: Ino, epoch: number, offset: number, target: Uint8Array) => number;

export function createLiveReader(stateDir: string): ReadLive {
  return liveReaderOf(new DiskStorage(stateDir));
}

export function liveReaderOf(storage: OverlayStorage): ReadLive {
  return (ino, epoch, offset, target) =>
    withFile(storage, dataFileName(ino, epoch), (file) => file?.read(offset, target) ?? 0);
}

/** The shared file read last, kept until the event loop's next turn. */
class OpenPart {
  readonly #storage: OverlayStorage;
  #name: string | undefined;
  #file: StoredFile | undefined;

  constructor(storage: OverlayStorage) {
    this.#storage = storage;
  }

  /** Undefined if the file is missing. */
  open(name: string): StoredFile | undefined {
    if (this.#name === name) return this.#file;
    if (this.#name === undefined) void nextTurn().then(() => this.#close());
    this.#close();
    this.#file = this.#storage.openFile("data", name, false);
    this.#name = name;
    return this.#file;
  }

  #close(): void {
    this.#file?.close();
    this.#file = this.#name = undefined;
  }
}

function readFrom(file: StoredFile | undefined, name: string, offset: number, target: Uint8Array): void {
  if (file === undefined) throw goneDataFile(name);
  const count = file.read(offset, target);
  if (count < target.length) target.fill(0, count);
}

function withFile<Result>(
  storage: OverlayStorage,
  name: string,
  work: (file: StoredFile | undefined) => Result,
): Result {
  const file = storage.openFile("data", name, false);
  try {
    return work(file);
  } finally {
    file?.close();
  }
}

/**
 * Where the small files of each sealed epoch lie. Their shared files never change: they are scanned once. Several epochs are
 * read by turns if one was sealed anew with later changes.
 */
class Indexes {
  readonly #storage: OverlayStorage;
  readonly #indexes = new Map<number, SmallFileIndex>();

  constructor(storage: OverlayStorage) {
    this.#storage = storage;
  }

  of(epoch: number): SmallFileIndex {
    const known = this.#indexes.get(epoch);
    if (known !== undefined) return known;
    const files = smallFilesOf(this.#storage);
    const there = new Set(files.map((file) => file.epoch));
    // Their epochs are published.
    for (const [each, index] of this.#indexes) if (!there.has(each) && !index.isEmpty) this.#indexes.delete(each);
    const names = files.filter((file) => file.epoch === epoch).map(({ name }) => name);
    const index = indexOf(this.#storage, names);
    this.#indexes.set(epoch, index);
    return index;
  }
}

function indexOf(storage: OverlayStorage, names: readonly string[]): SmallFileIndex {
  const small = new SmallFileIndex();
  for (const name of names) {
    const file = storage.openFile("data", name, false);
    if (file === undefined) continue;
    for (const { ino, offset, length, at } of readEntries(file)) {
      if (length === undefined) small.delete(ino);
      else small.put(ino, { offset, length, part: name, at });
    }
    file.close();
  }
  return small;
}
