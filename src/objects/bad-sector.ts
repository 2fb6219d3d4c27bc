/** A sector that a folder's disk cannot read: damage of what lies there, unlike a disk that is away. */
import type { FileHandle } from "node:fs/promises";
import { unless } from "../base/unless.ts";
import { SynclineError } from "../base/errors.ts";
import { isUnreadableSector } from "../base/system-errors.ts";
import { type Disk, type RangesOf, type RangesRead, readEach, readRanges, readUpTo } from "./disk.ts";
import type { ObjectStore } from "./object-store.ts";

/** What a salvaging read (ObjectStore.salvaging) needs of its folder. */
export interface Salvage {
  /** Told of an object that cannot be read whole. */
  readonly unread: () => void;
  readonly now: ObjectStore["now"];
}

/** As `readRanges`. With `salvage`, sectors that the disk cannot read come as zeros. */
export async function readOrSalvage(
  disk: Disk,
  path: string,
  rangesOf: RangesOf,
  salvage?: Salvage,
): Promise<RangesRead> {
  try {
    return await readRanges(disk, path, rangesOf);
  } catch (cause) {
    // If the folder takes no new files, the disk itself may be away.
    if (salvage === undefined || !isUnreadableSector(cause) || (await salvage.now()) === undefined) throw cause;
    salvage.unread();
    return readEach(disk, path, rangesOf, salvageRange);
  }
}

function salvageRange(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  return salvaged((at, memory) => readUpTo(file, at, memory.length, memory), offset, length);
}

/** A range with zeros for what the disk cannot read: page by page, so that a bad sector takes no more than its own page. */
export async function salvaged(
  read: (offset: number, memory: Buffer) => Promise<unknown>,
  offset: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let at = offset; at < offset + length;) {
    const next = Math.min(offset + length, at - (at % PAGE_BYTES) + PAGE_BYTES);
    await unless(isUnreadableSector, () => read(at, bytes.subarray(at - offset, next - offset)));
    at = next;
  }
  return bytes;
}

const PAGE_BYTES = 4096;

/**
 * Throws `block_corrupt` if a read of an object failed on a bad sector, else `cause`: also if the folder takes no new files,
 * since then the disk itself is away or full.
 */
export async function throwUnread(
  folder: Pick<ObjectStore, "address" | "now">,
  name: string,
  cause: unknown,
): Promise<never> {
  const isSector = cause instanceof Error && isUnreadableSector(cause.cause);
  if (!isSector || (await folder.now()) === undefined) throw cause;
  throw new SynclineError("block_corrupt", `The disk of ${folder.address} cannot read object ${name}.`, {
    hint: "Check the disk, then run `syncline verify --repair` on the bucket.",
    cause,
  });
}
