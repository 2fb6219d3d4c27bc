/**
 * Matches what is on the disk with objects of the last synced tree, by place and inode. Renamed and moved files keep their
 * identity, and so do files that an editor rewrites under their old name, even if it first renames them to a backup.
 */
import { groupBy } from "../../base/collections.ts";
import type { FileId, Ino } from "../../base/ids.ts";
import { ROOT_ID } from "../../base/ids.ts";
import type { Place } from "../../fstree/object-rows.ts";
import { placeText } from "../../fstree/object-rows.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { DiskPath, DiskStat } from "../disk/disk.ts";
import type { Entry } from "../known/entry.ts";
import { FEW } from "./entries-of-object.ts";
import type { IgnoreRules } from "./ignore-rules.ts";
import type { LocalObject, Matching } from "./matching.ts";
import { KnownEntries } from "../known/known-entries.ts";
import { PARKED_ID } from "../disk/paths.ts";
import { isSameInode, isUntouched } from "../known/seen.ts";
import { foundAt, within, type Found, type Walked } from "./walk.ts";

/** The ignore rules of this scan and of the last one. */
export interface ScanRules {
  readonly now: IgnoreRules;
  readonly last: IgnoreRules;
}

/** `keepsMissing`: keeps the names of objects that were not found anywhere. */
export function match(db: SyncDatabase, walked: Walked, rules: ScanRules, keepsMissing = false): Matching {
  const matcher = new Matcher(db, walked, rules);
  matcher.matchAll();
  matcher.findMissing(keepsMissing);
  return matcher;
}

class Matcher implements Matching {
  readonly root: LocalObject;
  readonly objectOf = new Map<Found, LocalObject>();
  readonly objects: LocalObject[] = [];
  readonly lostUnseen: Entry[] = [];
  readonly #known: KnownEntries;
  readonly #walked: Walked;
  readonly #rules: ScanRules;
  readonly #byId = new Map<FileId, LocalObject>();
  /** What was found, by inode. Built on first use: a folder's first scan does not need it. */
  #byIno: ReadonlyMap<bigint, readonly Found[]> | undefined;
  /** Entries that are still in their place. */
  readonly #held = new Set<string>();
  /** Matched after everything that is in its place. */
  #deferred: { readonly found: Found; readonly there: Entry | undefined }[] = [];
  readonly #closed = new Set<FileId>([PARKED_ID]);
  /** Objects that have several names and a new inode, by inode. */
  readonly #linked = new Map<bigint, LocalObject>();
  /** Entries by inode, without those at the start that are held. */
  readonly #left = new Map<bigint, readonly Entry[]>();
  /** Where objects with many names were found. */
  readonly #placesOf = new Map<LocalObject, ReadonlySet<string>>();
  /** Places that the system tells nothing of. */
  readonly #unknown = new Set<string>();

  constructor(db: SyncDatabase, walked: Walked, rules: ScanRules) {
    this.#known = new KnownEntries(db, walked.settled);
    this.#walked = walked;
    this.#rules = rules;
    this.root = { ino: 1 as Ino, id: ROOT_ID, entries: [], found: [walked.root], kept: [] };
    this.#byId.set(ROOT_ID, this.root);
    this.objectOf.set(walked.root, this.root);
  }

  matchAll(): void {
    this.#matchIn(this.#walked.root);
    this.#matchSaves();
    const rest = this.#deferred.filter(({ found }) => !this.#matchByInode(found));
    this.#deferred = [];
    // Last: these may be further names of a file that was just matched by its place.
    const born = rest.filter(({ found, there }) => !this.#matchByPlace(found, there));
    for (const { found } of born) this.#bear(found);
  }

  ofId(id: FileId): LocalObject | undefined {
    return this.#byId.get(id);
  }

  /** Finds the database's entries that are not on the disk: gone, or out of sight. */
  findMissing(keepsMissing: boolean): void {
    const kept = new Set<Entry>();
    for (const entry of this.#known.all) {
      const known = this.#byId.get(entry.id);
      if (known !== undefined && this.#isFoundAt(known, entry)) continue;
      // A directory has one name: if found elsewhere, it has left a place that is out of sight.
      const hasMoved = entry.record.type === "directory" && known !== undefined && known.found.length > 0;
      const isMissing = known === undefined || known.found.length === 0;
      const isKept = !hasMoved && ((keepsMissing && isMissing) || this.#isOutOfSight(entry, known));
      if (!hasMoved && !keepsMissing && this.#isLost(entry, known, isKept)) this.lostUnseen.push(entry);
      if (isKept) kept.add(entry);
      if (known !== undefined && !isKept) continue;
      const object = known ?? this.#add(entry.id, []);
      if (isKept) object.kept.push(entry);
    }
    // If a directory is gone, so are the ignored names in it.
    for (const { id } of this.lostUnseen) {
      for (const entry of this.#known.children(id)) if (kept.delete(entry)) this.lostUnseen.push(entry);
    }
  }

  /** Whether a name that is gone was ignored at the last scan, and is ignored no longer. `isKept`: it may be there. */
  #isLost(entry: Entry, known: LocalObject | undefined, isKept: boolean): boolean {
    const { now, last } = this.#rules;
    if (entry.parent === PARKED_ID || (isKept && now === last)) return false;
    if (!isIgnored(last, this.#lastPathOf(entry.parent, 0), entry) || this.#hasLeft(entry, known)) return false;
    const above = this.#pathOf(entry.parent, 0);
    return above !== undefined && !isIgnored(now, above, entry);
  }

  #withInode(ino: bigint): readonly Found[] {
    this.#byIno ??= groupBy(within(this.#walked.root), ({ stat }) => stat.ino);
    return this.#byIno.get(ino) ?? [];
  }

  #matchIn(directory: Found): void {
    const parent = this.objectOf.get(directory)?.id;
    if (directory.closed && parent !== undefined) this.#closed.add(parent);
    const entries = parent === undefined ? [] : this.#known.children(parent);
    for (const entry of directory.unknown.length === 0 ? [] : entries) {
      if (!directory.unknown.includes(entry.name)) continue;
      this.#unknown.add(placeText(entry));
      this.#closed.add(entry.id);
    }
    const byName = new Map(entries.map((entry) => [entry.name, entry]));
    for (const found of directory.children) {
      const there = byName.get(found.name);
      const isSame = there !== undefined && isThere(there, found.stat) && !this.#isClaimedDirectory(there);
      if (isSame) this.#hold(found, there);
      else if (found.stat.type !== "directory") this.#deferred.push({ found, there });
      else if (!this.#matchByInode(found) && !this.#matchByPlace(found, there)) this.#bear(found);
      if (found.stat.type === "directory") this.#matchIn(found);
    }
  }

  #hold(found: Found, entry: Entry): void {
    this.#held.add(placeText(entry));
    this.#claim(found, entry);
  }

  /** Some programs save by renaming the file to a backup in its directory and writing it anew: the backup is the new object. */
  #matchSaves(): void {
    const isKnown = (found: Found) => this.#known.byInode(found.stat.ino).some((entry) => isInodeOf(entry, found));
    const renewed = this.#deferred.filter(({ found, there }) => {
      if (found.stat.type === "directory") return false;
      return there?.record.type === found.stat.type && this.#known.byId(there.id).length === 1 && !isKnown(found);
    });
    if (renewed.length === 0) return;
    const deferred = new Map(this.#deferred.map(({ found, there }) => [found, there]));
    for (const { found, there } of renewed) {
      if (there === undefined) continue;
      const [backup, other] = this.#withInode(there.seen.ino).filter((each) => isInodeOf(there, each));
      if (backup === undefined || other !== undefined || !deferred.has(backup)) continue;
      if (backup.parent !== found.parent || backup.stat.links > 1) continue;
      // If logs are rotated, the file that had the backup's name has moved on, too.
      const replaced = deferred.get(backup);
      if (replaced === undefined || !this.#isElsewhere(replaced, backup)) this.#hold(found, there);
    }
    this.#deferred = this.#deferred.filter(({ found }) => !this.objectOf.has(found));
  }

  /** A known object that was moved here, or has another name here. */
  #matchByInode(found: Found): boolean {
    const { stat } = found;
    const known = this.#known.byInode(stat.ino);
    if (known.length === 0) return false;
    const isSame = (entry: Entry) => isInodeOf(entry, found) && entry.parent !== PARKED_ID;
    const moved = this.#notHeld(stat.ino, known).find((entry) => {
      if (!isSame(entry) || this.#held.has(placeText(entry))) return false;
      return !this.#isClaimedDirectory(entry) && !this.#isInPlace(entry, found);
    });
    const linked = stat.type === "file" && stat.links > 1 ? known.find(isSame) : undefined;
    const entry = moved ?? linked;
    if (entry === undefined) return false;
    if (moved !== undefined) this.#held.add(placeText(moved));
    this.#claim(found, entry);
    return true;
  }

  /** The entries with this inode from the first on that is not held. What is held stays so: no call looks at it again. */
  #notHeld(ino: bigint, known: readonly Entry[]): readonly Entry[] {
    const left = this.#left.get(ino) ?? known;
    const first = left.findIndex((entry) => !this.#held.has(placeText(entry)));
    if (first === 0) return left;
    const rest = first < 0 ? [] : left.slice(first);
    this.#left.set(ino, rest);
    return rest;
  }

  /** A file that was rewritten under its old name. */
  #matchByPlace(found: Found, there: Entry | undefined): boolean {
    const isFree =
      there !== undefined &&
      there.record.type === found.stat.type &&
      !this.#held.has(placeText(there)) &&
      !this.#byId.has(there.id) &&
      !this.#isElsewhere(there, found) &&
      !this.#hasNameOutOfSight(there);
    if (isFree && !this.#joinTwin(found)) this.#hold(found, there);
    return isFree;
  }

  /** A new object, or another name of one that was matched already. */
  #bear(found: Found): void {
    if (!this.#joinTwin(found)) this.objectOf.set(found, this.#add(undefined, [], found));
  }

  /** Whether the file was matched under another of its names. */
  #joinTwin(found: Found): boolean {
    const { ino, links, type } = found.stat;
    if (type !== "file" || links < 2) return false;
    const twin = this.#linked.get(ino) ?? this.#withInode(ino).flatMap((each) => this.objectOf.get(each) ?? [])[0];
    if (twin === undefined) return false;
    this.#linked.set(ino, twin);
    twin.found.push(found);
    this.objectOf.set(found, twin);
    return true;
  }

  #isElsewhere(entry: Entry, here: Found): boolean {
    return this.#withInode(entry.seen.ino).some((found) => found !== here && isInodeOf(entry, found));
  }

  /** If so, the object still exists under that name, and what replaced it here is a new object. */
  #hasNameOutOfSight(there: Entry): boolean {
    return this.#known.byId(there.id).some((entry) => entry !== there && this.#isOutOfSight(entry, undefined));
  }

  /** Whether the directory is at its old place, which may be listed later than a mount of it or a reuse of its inode. */
  #isInPlace(entry: Entry, here: Found): boolean {
    if (entry.record.type !== "directory") return false;
    const above = this.#pathOf(entry.parent, 0);
    const found = above && foundAt(this.#walked.root, [...above, entry.name]);
    return found !== undefined && found !== here && isThere(entry, found.stat);
  }

  /** A directory has only one place: two with one inode are mounts. */
  #isClaimedDirectory({ id, record }: Entry): boolean {
    return record.type === "directory" && this.#byId.has(id);
  }

  #claim(found: Found, entry: Entry): void {
    const known = this.#byId.get(entry.id);
    known?.found.push(found);
    this.objectOf.set(found, known ?? this.#add(entry.id, this.#known.byId(entry.id), found));
  }

  #add(id: FileId | undefined, entries: readonly Entry[], ...found: Found[]): LocalObject {
    const known = id !== undefined && entries.length === 0 ? this.#known.byId(id) : entries;
    const object: LocalObject = { ino: (this.objects.length + 2) as Ino, id, entries: known, found, kept: [] };
    this.objects.push(object);
    if (id !== undefined) this.#byId.set(id, object);
    return object;
  }

  /** Once all are matched. */
  #isFoundAt(object: LocalObject, place: Place): boolean {
    const { found } = object;
    if (found.length <= FEW) return found.some((each) => this.#isAt(each, place));
    let places = this.#placesOf.get(object);
    if (places === undefined) {
      const all = found.map(({ parent, name }) => ({ parent: parent && this.objectOf.get(parent)?.id, name }));
      places = new Set(all.flatMap(({ parent, name }) => (parent === undefined ? [] : [placeText({ parent, name })])));
      this.#placesOf.set(object, places);
    }
    return places.has(placeText(place));
  }

  #isAt({ parent, name }: Found, place: Place): boolean {
    return parent !== undefined && name === place.name && this.objectOf.get(parent)?.id === place.parent;
  }

  #isOutOfSight(entry: Entry, known: LocalObject | undefined): boolean {
    // An object whose only name is in sight is not out of sight.
    if (this.#isBelowClosed(entry)) return known?.found.some(({ stat }) => isOnlyName(stat, entry)) !== true;
    return isIgnored(this.#rules.now, this.#pathOf(entry.parent, 0), entry) && !this.#hasLeft(entry, known);
  }

  /** Whether it was moved out of an ignored path, and so has left it. What was removed there stays in the bucket. */
  #hasLeft(entry: Entry, known: LocalObject | undefined): boolean {
    const isMoved = (found: Found) => known?.entries.every((at) => !this.#isAt(found, at)) === true;
    return known?.found.some((found) => isOnlyName(found.stat, entry) && isMoved(found)) === true;
  }

  /** Also if what is there is unknown. */
  #isBelowClosed({ parent, name }: Entry): boolean {
    if (this.#unknown.has(placeText({ parent, name }))) return true;
    for (let at: FileId | undefined = parent, depth = 0; at !== undefined && depth < MAX_DEPTH; depth++) {
      if (this.#closed.has(at)) return true;
      at = this.#known.byId(at)[0]?.parent;
    }
    return false;
  }

  /** A directory's current path, or its last known one. */
  #pathOf(id: FileId, depth: number): DiskPath | undefined {
    if (id === ROOT_ID) return [];
    const [found] = this.#byId.get(id)?.found ?? [];
    if (found !== undefined) return found.path;
    const [entry] = this.#known.byId(id);
    if (entry === undefined || depth > MAX_DEPTH) return undefined;
    const above = this.#pathOf(entry.parent, depth + 1);
    return above === undefined ? undefined : [...above, entry.name];
  }

  /** A directory's path when last synced. */
  #lastPathOf(id: FileId, depth: number): DiskPath | undefined {
    if (id === ROOT_ID) return [];
    const [entry] = this.#known.byId(id);
    if (entry === undefined || depth > MAX_DEPTH) return undefined;
    const above = this.#lastPathOf(entry.parent, depth + 1);
    return above === undefined ? undefined : [...above, entry.name];
  }
}

function isIgnored(rules: IgnoreRules, above: DiskPath | undefined, { name, record }: Entry): boolean {
  return above !== undefined && rules.ignores([...above, name], record.type === "directory");
}

/**
 * Whether an entry's object is still at its place. Some filesystems number their inodes anew at each mount. Then the times
 * tell: a rename changes the ctime.
 */
function isThere({ record, seen }: Entry, stat: DiskStat): boolean {
  const isSame = isSameInode(seen, stat) || isUntouched(seen, { ...stat, ino: seen.ino });
  return record.type === stat.type && isSame;
}

function isInodeOf({ record, seen }: Entry, { stat }: Found): boolean {
  return record.type === stat.type && isSameInode(seen, stat);
}

function isOnlyName({ ino, type, links }: DiskStat, { seen }: Entry): boolean {
  return ino === seen.ino && (type === "directory" || links === 1);
}

/** No filesystem has deeper paths; if the database does, it has a cycle. */
const MAX_DEPTH = 4_096;
