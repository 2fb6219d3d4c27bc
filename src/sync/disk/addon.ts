/** The native addon's part for folder sync (native/beneath.h): calls on files beneath a directory's descriptor. */
import { getSystemErrorName } from "node:util";
import { loadNative } from "../../runtime/native.ts";

/** Names are byte strings. Errors have a numeric `errno`. Close descriptors with node:fs. */
export interface BeneathAddon {
  openBeneath(directory: number, path: string, flags: number, mode: number): number;
  statAt(directory: number, name: string): Float64Array | undefined;
  listAt(directory: number): [string[], Float64Array];
  readLinkAt(directory: number, name: string): string;
  makeDirectoryAt(directory: number, name: string, mode: number): void;
  symlinkAt(directory: number, name: string, target: string): void;
  linkAt(from: number, name: string, to: number, newName: string): void;
  renameAt(from: number, name: string, to: number, newName: string, flags: number): void;
  unlinkAt(directory: number, name: string, isDirectory: 0 | 1): void;
  setModeOf(descriptor: number, mode: number): void;
  setOwnerAt(directory: number, name: string, uid: number, gid: number): void;
  setModifiedAt(directory: number, name: string, seconds: number, nanoseconds: number): void;
  listXattrs(descriptor: number): string[];
  getXattr(descriptor: number, name: string): Buffer | undefined;
  setXattr(descriptor: number, name: string, value: Buffer): void;
  removeXattr(descriptor: number, name: string): void;
  /** As in FileAddon. Absent from older addons. */
  dataFrom?(descriptor: number, offset: number): number;
  /** native/beneath_batch.h. Rejects with the same errors. Absent from older addons. */
  readFiles?(directory: number, paths: readonly string[], sizes: Float64Array, target: Buffer): Promise<Float64Array>;
  bareFiles?(directory: number, paths: readonly string[], all: 0 | 1): Promise<Float64Array>;
  createFiles?(
    directory: number,
    names: readonly string[],
    contents: readonly Uint8Array[],
    attributes: Float64Array,
    synced: 0 | 1 | 2,
  ): Promise<Float64Array>;
  placeFiles?(
    root: number,
    directory: number,
    names: readonly string[],
    paths: readonly string[],
    marks: number,
  ): Promise<Float64Array>;
  syncFilesystem?(directory: number): Promise<unknown>;
}

/** Undefined if the addon is not built, or is an older version. */
export function loadBeneathAddon(): BeneathAddon | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    const addon = loadNative() as Partial<BeneathAddon>;
    return typeof addon.openBeneath === "function" ? (addon as BeneathAddon) : undefined;
  } catch {
    return undefined;
  }
}

/** Gives the addon's errors the codes that Node.js uses for system errors. */
export function coded<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw withCode(error);
  }
}

export async function codedLater<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    throw withCode(error);
  }
}

function withCode(error: unknown): unknown {
  if (error instanceof Error && "errno" in error && typeof error.errno === "number" && error.errno > 0)
    return Object.assign(error, { code: getSystemErrorName(-error.errno) });
  return error;
}
