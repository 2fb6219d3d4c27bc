/** Reads unpublished contents of sealed epochs from a state folder, from any thread, while the overlay goes on. */
import type { Ino } from "../base/ids.ts";
import type { DataReader } from "../bucket/change-set.ts";
import { dataFileName } from "./data-files.ts";
import { DiskStorage } from "./disk-storage.ts";
import { SmallFileIndex } from "./small-file-index.ts";
import { readEntries, smallFilesOf } from "./small-pieces.ts";
import type { OverlayStorage } from "./storage.ts";

/** Throws `store_failed`. */
export function createDataReader(stateDir: string): DataReader {
  return dataReaderOf(new DiskStorage(stateDir));
}

/**
 * Files are opened for each read, so that none is held on the disk after it was removed. What power loss took from a file
 * that was never synced reads as zeros.
 */
export function dataReaderOf(storage: OverlayStorage): DataReader {
  // The shared files of a sealed epoch do not change: they are gone through once.
  let known: { readonly epoch: number; readonly small: SmallFileIndex } | undefined;
  return {
    async readData(ino, epoch, offset, length, target) {
      if (known?.epoch !== epoch) known = { epoch, small: indexOf(storage, epoch) };
      const bytes = target?.subarray(0, length) ?? new Uint8Array(length);
      const pieces = known.small.pieces(ino);
      if (pieces !== undefined) bytes.fill(0);
      if (pieces === undefined) readFrom(storage, dataFileName(ino, epoch), offset, bytes);
      for (const { offset: start, length: each, part, at } of pieces ?? []) {
        const from = Math.max(offset, start);
        const to = Math.min(offset + length, start + each);
        if (from < to) readFrom(storage, part, at + from - start, bytes.subarray(from - offset, to - offset));
      }
      return bytes;
    },
  };
}

/**
 * Reads from the data file of an epoch that is still written to; how many bytes there were. What bytes those are, and whether
 * they stay, is for the overlay to say (beginnings.ts). Throws `store_failed`.
 */
export type ReadLive = (ino: Ino, epoch: number, offset: number, target: Uint8Array) => number;

export function createLiveReader(stateDir: string): ReadLive {
  return liveReaderOf(new DiskStorage(stateDir));
}

export function liveReaderOf(storage: OverlayStorage): ReadLive {
  return (ino, epoch, offset, target) => readPart(storage, dataFileName(ino, epoch), offset, target);
}

function readFrom(storage: OverlayStorage, name: string, offset: number, target: Uint8Array): void {
  const count = readPart(storage, name, offset, target);
  if (count < target.length) target.fill(0, count);
}

function readPart(storage: OverlayStorage, name: string, offset: number, target: Uint8Array): number {
  const file = storage.openFile("data", name, false);
  try {
    return file?.read(offset, target) ?? 0;
  } finally {
    file?.close();
  }
}

function indexOf(storage: OverlayStorage, epoch: number): SmallFileIndex {
  const small = new SmallFileIndex();
  for (const { name } of smallFilesOf(storage, epoch)) {
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
