/** Finds one of an object's entries. A scan asks for each name, and a file may have 65,000: then an index answers. */
import type { FileId, FileName } from "../../base/ids.ts";
import { placeText } from "../../fstree/object-rows.ts";
import type { DiskStat } from "../disk/disk.ts";
import type { Entry } from "../known/entry.ts";

/** The entry at a place. */
export function entryAt(entries: readonly Entry[], parent: FileId | undefined, name: FileName): Entry | undefined {
  if (entries.length <= FEW) return entries.find((entry) => entry.parent === parent && entry.name === name);
  return parent && indexOf(entries).byPlace.get(placeText({ parent, name }));
}

/** The first entry with this inode. */
export function entryOfInode(entries: readonly Entry[], ino: bigint): Entry | undefined {
  if (entries.length <= FEW) return entries.find(({ seen }) => seen.ino === ino);
  return indexOf(entries).byInode.get(ino);
}

/** Whether one of the entries was seen with this inode and ctime. */
export function hasSeen(entries: readonly Entry[], { ino, ctimeNs }: Pick<DiskStat, "ino" | "ctimeNs">): boolean {
  if (entries.length <= FEW) return entries.some(({ seen }) => seen.ino === ino && seen.ctimeNs === ctimeNs);
  return indexOf(entries).seen.has(seenText(ino, ctimeNs));
}

/** Up to so many are compared one by one. */
export const FEW = 8;

interface Index {
  readonly byPlace: ReadonlyMap<string, Entry>;
  readonly byInode: ReadonlyMap<bigint, Entry>;
  readonly seen: ReadonlySet<string>;
}

/** By lists of entries, which never change. */
const indexes = new WeakMap<readonly Entry[], Index>();

function indexOf(entries: readonly Entry[]): Index {
  let index = indexes.get(entries);
  if (index === undefined) {
    index = {
      byPlace: new Map(entries.map((entry) => [placeText(entry), entry])),
      // The last one that is set stays.
      byInode: new Map(entries.toReversed().map((entry) => [entry.seen.ino, entry])),
      seen: new Set(entries.map(({ seen }) => seenText(seen.ino, seen.ctimeNs))),
    };
    indexes.set(entries, index);
  }
  return index;
}

function seenText(ino: bigint, ctimeNs: bigint): string {
  return `${ino} ${ctimeNs}`;
}
