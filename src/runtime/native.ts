/** Loads the native addon, which is optional: each part says what it takes from it. */
import { createRequire } from "node:module";
import { orElse } from "../base/unless.ts";

/** What the addon exports, unchecked. Throws what loading throws. */
export function loadNative(): unknown {
  return createRequire(import.meta.url)("#fuse-addon");
}

/** Calls for files. Undefined if the addon is missing or older, or this is not Linux. */
export interface FileAddon {
  /** fallocate(2): frees the disk space of a part of the file, which then reads as zeros. Throws with `errno`. */
  freeRange(file: number, offset: number, length: number): void;
  /**
   * lseek(2) with SEEK_DATA: where the first byte from `offset` on lies that may not be zero; the file's end if there is none.
   * `offset` if the filesystem cannot tell.
   */
  dataFrom(file: number, offset: number): number;
  /**
   * preadv2(2) with RWF_NOWAIT: fills `bytes` from the file's pages in memory. Returns how many it could: 0 also if the
   * filesystem cannot say what is in memory. Throws with `errno`.
   */
  readCached(file: number, offset: number, bytes: Uint8Array): number;
}

export function loadFileAddon(): Partial<FileAddon> {
  return loadPart<FileAddon>();
}

/** Calls for this process as a whole. Undefined: the addon is not built, or this is not Linux. */
export interface ProcessAddon {
  /** mallopt(3): has the allocator keep less of what is freed. */
  boundMemory(): void;
  /** malloc_trim(3): gives freed memory back to the system. */
  trimMemory(): void;
  /** setsid(2), unless this process leads a group already. */
  startSession(): void;
  /** close_range(2): programs started from now on inherit nothing of what is open now, but the standard streams. */
  keepAllFromChildren(): void;
}

export function loadProcessAddon(): Partial<ProcessAddon> {
  return loadPart<ProcessAddon>();
}

function loadPart<Addon>(): Partial<Addon> {
  if (process.platform !== "linux") return {};
  return orElse({}, () => loadNative() as Partial<Addon>);
}
