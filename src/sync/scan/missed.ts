/**
 * What a walk missed, or saw twice. A file that moves during a walk may be missing from both of its directories when each is listed.
 * So if any directory changed meanwhile, only what three walks in a row miss counts as deleted. The file can also be in both
 * directories. Then the walk is repeated, since its new name is no new file.
 */
import { failedWith } from "../../base/system-errors.ts";
import { placeText } from "../../fstree/object-rows.ts";
import { blake3 } from "../../crypto/hash.ts";
import { hasStat, type DiskPath, type DiskStat, type SyncDisk } from "../disk/disk.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { Entry } from "../known/entry.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import { isSameInode, mayKeepTimes } from "../known/seen.ts";
import { PARKED_ID, PARKED_PATH } from "../disk/paths.ts";
import type { Matching } from "./matching.ts";
import { lookBelow, NOT_LISTED, within, type Found, type Walked } from "./walk.ts";

/** A walk of the whole folder. */
export interface Looked {
  readonly walked: Walked;
  readonly matching: Matching;
  /** When it began, by the clock. */
  readonly lookedNs: bigint;
  readonly beganMs: number;
}

/** What the next pass is to decide. */
export interface Unsure {
  /** Paths of names that may only have moved: other walks found them, or they are out of sight. */
  readonly unsure: readonly DiskPath[];
  /** Digest of those out of sight, for the database if the pass succeeds; undefined: there are none. */
  readonly awaited: string | undefined;
}

export interface Certain extends Looked, Unsure {
  /** New names of files that the last walk saw at their old ones, too. */
  readonly seenTwice: readonly Found[];
}

/** Repeats a walk until it is certain what was deleted, or files keep moving. */
export async function lookUntilCertain(
  db: SyncDatabase,
  disk: SyncDisk,
  first: Looked,
  lookAgain: () => Promise<Looked>,
): Promise<Certain> {
  /** How many walks in a row missed a name. */
  let misses: ReadonlyMap<string, number> = new Map();
  for (let [looked, walks] = [first, 1]; ; walks++) {
    const missed = missedBy(looked.matching);
    misses = new Map(missed.map(placeText).map((place) => [place, (misses.get(place) ?? 0) + 1]));
    let unsure = missed.filter((entry) => (misses.get(placeText(entry)) ?? 0) < MISSES);
    if (unsure.length > 0 && !(await hasChanged(disk, looked))) unsure = [];
    const seenTwice = await seenTwiceBy(db, disk, looked.matching);
    if (walks === WALKS || unsure.length + seenTwice.length === 0) {
      const parked = await parkedAmong(disk, missed);
      const awaited = digestOf(parked);
      const kept = new Set([...unsure, ...(awaited === db.fact("awaited") ? [] : parked)]);
      const paths = Array.from(kept, (entry) => pathInFolder(db, entry) ?? [entry.name]);
      return { ...looked, unsure: paths, awaited, seenTwice };
    }
    looked = await lookAgain();
  }
}

function missedBy({ objects }: Matching): Entry[] {
  return objects.flatMap(({ entries, found, kept }) => (found.length + kept.length < entries.length ? entries : []));
}

/**
 * Those that somebody moved into a directory that is out of sight now. One whole pass waits for it to come back. What is
 * still in it then counts as deleted, since the directory may be waiting for that very deletion.
 */
async function parkedAmong(disk: SyncDisk, missed: readonly Entry[]): Promise<readonly Entry[]> {
  const stats = missed.length === 0 ? new Map<bigint, DiskStat>() : await inParkedDirectories(disk);
  return missed.filter(({ seen }) => {
    const stat = stats.get(seen.ino);
    return stat !== undefined && isSameInode(seen, stat);
  });
}

function digestOf(entries: readonly Entry[]): string | undefined {
  if (entries.length === 0) return undefined;
  const places = entries.map(placeText).sort().join("\n");
  return Buffer.from(blake3(Buffer.from(places))).toString("hex");
}

/** By inode. */
async function inParkedDirectories(disk: SyncDisk): Promise<ReadonlyMap<bigint, DiskStat>> {
  const stats = new Map<bigint, DiskStat>();
  const listed = async (directory: DiskPath) => {
    try {
      return await disk.list(directory);
    } catch (error) {
      if (failedWith(error, ...NOT_LISTED)) return [];
      throw error;
    }
  };
  const collect = async (directory: DiskPath): Promise<void> => {
    for (const { name, stat } of (await listed(directory)).filter(hasStat)) {
      if (directory.length > PARKED_PATH.length) stats.set(stat.ino, stat);
      if (stat.type === "directory") await collect([...directory, name]);
    }
  };
  await collect(PARKED_PATH);
  return stats;
}

/** New names of files that have left the places where the walk saw them, or have further names since. */
async function seenTwiceBy(db: SyncDatabase, disk: SyncDisk, matching: Matching): Promise<Found[]> {
  const newNames = matching.objects.flatMap(({ id, found }) => (id === undefined ? found : []));
  const known = db.reading(() => newNames.flatMap((found) => seenElsewhere(db, matching, found)));
  const seenTwice: Found[] = [];
  for (const { found, path } of known) {
    const now = await lookBelow(disk, path);
    const isThere = now === "closed" || (now?.ino === found.stat.ino && now.links === 1);
    if (!isThere) seenTwice.push(found);
  }
  return seenTwice;
}

/** The path at which the inode of a new name was synced, if the walk saw it there: its number may be another file's by now. */
function seenElsewhere(db: SyncDatabase, matching: Matching, found: Found): { found: Found; path: DiskPath }[] {
  const { stat } = found;
  if (stat.type === "directory") return [];
  const entry = db.byInode(stat.ino).find(({ id, parent, record, seen }) => {
    if (parent === PARKED_ID || record.type !== stat.type || !isSameInode(seen, stat)) return false;
    // `ofId` is undefined if the walk skipped an unchanged directory.
    return matching.ofId(id)?.found.some((other) => other.stat.ino === stat.ino) !== false;
  });
  const path = entry && pathInFolder(db, entry);
  return path === undefined ? [] : [{ found, path }];
}

/** Whether names in a directory may have changed since the walk looked at it. */
async function hasChanged(disk: SyncDisk, { walked, lookedNs }: Looked): Promise<boolean> {
  for (const { path, stat } of within(walked.root)) {
    if (stat.type !== "directory") continue;
    if (mayKeepTimes(stat, lookedNs)) return true;
    const now = await disk.look(path).catch(() => undefined);
    if (now === undefined || !looksSame(stat, now)) return true;
  }
  return false;
}

function looksSame(before: DiskStat, now: DiskStat): boolean {
  return before.ino === now.ino && before.mtimeNs === now.mtimeNs && before.ctimeNs === now.ctimeNs;
}

const MISSES = 3;
const WALKS = 4;
