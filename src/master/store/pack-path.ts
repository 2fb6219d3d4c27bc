/**
 * The files of an owner's packs: `<32 hex>` is an immutable pack with its footer; `<32 hex>.open` is a growing one, with
 * its rows in `<32 hex>.rows`. So an incomplete file without an extension is damaged, not unfinished.
 */
import { join } from "node:path";
import type { Random } from "../../base/random.ts";
import type { PackDisk, PackFile } from "./pack-disk.ts";

export function sealedPath(folder: string, name: string): string {
  return join(folder, name);
}

export function openPath(folder: string, name: string): string {
  return join(folder, `${name}.open`);
}

export function rowsPath(folder: string, name: string): string {
  return join(folder, `${name}.rows`);
}

export function isPackFile(name: string): boolean {
  return /^[0-9a-f]{32}$/.test(name);
}

/** A name that was never used. */
export function newPackName(random: Random): string {
  return Buffer.from(random.bytes(16)).toString("hex");
}

export interface PackListing {
  readonly sealed: Set<string>;
  readonly open: ReadonlySet<string>;
  readonly rows: ReadonlySet<string>;
}

/** The packs in a folder, by name. Ignores files with other names. */
export async function listPacks(disk: PackDisk, folder: string): Promise<PackListing> {
  const kinds = { "": new Set<string>(), ".open": new Set<string>(), ".rows": new Set<string>() };
  for (const file of await disk.list(folder)) {
    const [, name, ending] = /^([0-9a-f]{32})(\.open|\.rows|)$/.exec(file) ?? [];
    if (name !== undefined) kinds[ending as keyof typeof kinds].add(name);
  }
  return { sealed: kinds[""], open: kinds[".open"], rows: kinds[".rows"] };
}

/** Removes packs durably, including those without final names. Missing files are no error. */
export async function removePacks(disk: PackDisk, folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    for (const path of [sealedPath, openPath, rowsPath]) await disk.remove(path(folder, name));
  }
  await disk.syncFolder(folder);
}

/** Opens a pack for reading, growing or not; undefined if it is gone. */
export async function openForReading(disk: PackDisk, folder: string, name: string): Promise<PackFile | undefined> {
  return (
    (await disk.open(sealedPath(folder, name), "read")) ??
    (await disk.open(openPath(folder, name), "read")) ??
    // It may have been sealed in between.
    (await disk.open(sealedPath(folder, name), "read"))
  );
}
