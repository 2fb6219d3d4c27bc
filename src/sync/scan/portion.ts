/**
 * New files in a folder, in portions that fit in memory: each is found, sent and recorded before the next. A portion is
 * what a scan would find if the rest had not come yet. It leaves out edits, moves, removals and anything that could be part
 * of them: a full scan follows the last one.
 */
import { ROOT_ID, type FileId, type FileName, type Ino } from "../../base/ids.ts";
import { SYNC_PORTION_BYTES, SYNC_PORTION_THINGS } from "../../base/limits.ts";
import { failedWith } from "../../base/system-errors.ts";
import {
  hasStat,
  type DiskEntry,
  type DiskPath,
  type DiskStat,
  type ListedEntry,
  type SyncDisk,
} from "../disk/disk.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import type { Look, SyncDatabase } from "../known/database.ts";
import type { Entry } from "../known/entry.ts";
import { isSameInode } from "../known/seen.ts";
import type { ScanRules } from "./match.ts";
import type { LocalObject, Matching } from "./matching.ts";
import { PortionRoom } from "./portion-room.ts";
import { tooLarge } from "./too-large.ts";
import { familyOf, unitPathsOf } from "./unit-paths.ts";
import { foundAs, isMount, NOT_LISTED, NO_CHILDREN, type Found, type IsApart, type Most } from "./walk.ts";

export const WHOLE_PORTION: Most = { things: SYNC_PORTION_THINGS, bytes: SYNC_PORTION_BYTES };

export interface Portion {
  /** New objects, and the directories that they are in. */
  readonly matching: Matching;
  /** Whether no further portion is left. */
  readonly isLast: boolean;
  /** Paths of finished directories, with everything below: no portion looks at the rest in them. */
  readonly done: readonly string[];
}

export interface PortionSource {
  readonly disk: SyncDisk;
  readonly rules: Pick<ScanRules, "now">;
  readonly db: SyncDatabase;
  /** What fills a portion. */
  readonly limits: Most;
  /** Groups that go together: a repository, a database with its log. */
  readonly units: UnitRules;
  readonly isApart: IsApart;
}

export class Portions {
  readonly #source: PortionSource;
  /** Paths that portions skip from now on. */
  readonly #passed = new Set<string>();

  constructor(source: PortionSource) {
    this.#source = source;
  }

  /** Throws what listing the root does. */
  async next(): Promise<Portion> {
    const { disk } = this.#source;
    const stat = await disk.look([]);
    const entries = await disk.list([]);
    if (stat === undefined) throw new RangeError("The folder's root was listed but is missing.");
    const root = foundAs({ path: [], stat, parent: undefined, name: "" as FileName }, NO_CHILDREN, false);
    const finder = new Finder(this.#source, this.#passed, root);
    const isLast = await finder.enter(root, entries, ROOT_ID);
    return { matching: finder, isLast, done: finder.done };
  }

  /** The portion was sent and recorded. */
  sent({ done }: Portion): void {
    for (const path of done) this.#passed.add(path);
  }

  /** Skips files that kept changing, with their units. */
  leaveOut(paths: readonly DiskPath[]): void {
    const { units } = this.#source;
    for (const path of paths) {
      const { tree = path, family } = unitPathsOf(units, path);
      for (const each of [tree, ...family]) this.#passed.add(textOf(each));
    }
  }
}

class Finder implements Matching {
  readonly root: LocalObject;
  readonly objectOf = new Map<Found, LocalObject>();
  readonly objects: LocalObject[] = [];
  // Portions only send what is new.
  readonly lostUnseen: readonly Entry[] = [];
  readonly done: string[] = [];
  readonly #source: PortionSource;
  readonly #passed: ReadonlySet<string>;
  /** Whether the folder was never synced. */
  readonly #isFirst: boolean;
  readonly #byId = new Map<FileId, LocalObject>();
  /** Directories that are still in their place. */
  readonly #known = new Map<Found, FileId>();
  /** New files with several names, by inode. */
  readonly #linked = new Map<bigint, LocalObject>();
  readonly #room: PortionRoom;

  constructor(source: PortionSource, passed: ReadonlySet<string>, root: Found) {
    this.#source = source;
    this.#passed = passed;
    this.#room = new PortionRoom(source.limits, source.units);
    this.#isFirst = source.db.isEmpty();
    this.root = { ino: 1 as Ino, id: ROOT_ID, entries: [], found: [root], kept: [] };
    this.objectOf.set(root, this.root);
    this.#byId.set(ROOT_ID, this.root);
  }

  ofId(id: FileId): LocalObject | undefined {
    return this.#byId.get(id);
  }

  /**
   * Adds what is new in a directory while there is room. Answers whether that is everything. `id` is undefined for a new
   * directory; `isWhole`: everything goes now.
   */
  async enter(
    directory: Found,
    entries: readonly ListedEntry[],
    id: FileId | undefined,
    isWhole = false,
  ): Promise<boolean> {
    if (id !== undefined) this.#known.set(directory, id);
    const looks: Looks = id === undefined ? NO_LOOKS : this.#source.db.looks(id);
    const concerned = entries.filter(hasStat).filter((entry) => !this.#isNotConcerned(directory, entry, looks));
    const files = this.#wholeFamilies(
      concerned.filter(({ stat }) => stat.type !== "directory"),
      entries,
      looks,
    );
    let isAll = this.#tellFiles(directory, files, isWhole);
    for (const entry of concerned) {
      if (entry.stat.type !== "directory") continue;
      const below = looks.get(entry.name)?.id;
      isAll = (await this.#descend(directory, entry, below, isWhole)) && isAll;
    }
    if (isAll) this.done.push(textOf(directory.path));
    return isAll;
  }

  #tellFiles(directory: Found, files: readonly DiskEntry[], isWhole: boolean): boolean {
    let told = 0;
    for (const entry of this.#room.fitting(files, isWhole)) {
      this.#tell(directory, entry);
      told++;
    }
    return told === files.length;
  }

  async #descend(parent: Found, entry: DiskEntry, id: FileId | undefined, isWhole: boolean): Promise<boolean> {
    if (this.#room.isFull && !isWhole) return false;
    const { name, stat } = entry;
    const path = parent.path.concat(name);
    let entries: readonly ListedEntry[];
    try {
      entries = await this.#source.disk.list(path);
    } catch (error) {
      // The full scan reports the problem.
      if (failedWith(error, ...NOT_LISTED)) return true;
      throw error;
    }
    if ((await this.#source.isApart(path, entries)) !== false) return true;
    const isNew = id === undefined;
    const isUnit = isNew && this.#source.units.isTree(name);
    if (isUnit && !isWhole && !(await this.#isAllNew(path, stat, entries))) return true;
    const found = isNew ? this.#tell(parent, entry) : foundAs({ path, stat, parent, name }, NO_CHILDREN, false);
    return this.enter(found, entries, id, isWhole || isUnit);
  }

  #tell(parent: Found, { name, stat }: DiskEntry): Found {
    this.#addKnown(parent);
    const found = foundAs({ path: parent.path.concat(name), stat, parent, name }, NO_CHILDREN, false);
    const isLinked = stat.type === "file" && stat.links > 1;
    const twin = isLinked ? this.#linked.get(stat.ino) : undefined;
    if (twin === undefined) {
      const object = this.#add(found, undefined);
      if (isLinked) this.#linked.set(stat.ino, object);
    } else {
      twin.found.push(found);
      this.objectOf.set(found, twin);
    }
    this.#room.take(stat);
    return found;
  }

  /** Adds a directory that got new entries, and those above it. */
  #addKnown(directory: Found): void {
    const id = this.#known.get(directory);
    if (id === undefined || this.objectOf.has(directory)) return;
    if (directory.parent !== undefined) this.#addKnown(directory.parent);
    this.#add(directory, id);
  }

  #add(found: Found, id: FileId | undefined): LocalObject {
    const entries = id === undefined ? [] : this.#source.db.byId(id);
    const object: LocalObject = { ino: (this.objects.length + 2) as Ino, id, entries, found: [found], kept: [] };
    this.objects.push(object);
    this.objectOf.set(found, object);
    if (id !== undefined) this.#byId.set(id, object);
    return object;
  }

  /** Whether it is not new, not for portions, or could be part of another change. */
  #isNotConcerned({ path, stat: above }: Found, { name, stat }: DiskEntry, looks: Looks): boolean {
    if (stat.type !== "file" && stat.type !== "symlink" && stat.type !== "directory") return true;
    if (tooLarge({ name, stat }) !== undefined) return true;
    const isDirectory = stat.type === "directory";
    const here = path.concat(name);
    if (this.#passed.size > 0 && this.#passed.has(textOf(here))) return true;
    if (isMount(stat, above) || this.#source.rules.now.ignores(here, isDirectory)) return true;
    const look = looks.get(name);
    if (look === undefined) return this.#isKnown(stat);
    if (!isDirectory || !look.isDirectory || !isSameInode(look.seen, stat)) return true;
    return this.#source.units.isTree(name);
  }

  /** Leaves out files whose family includes an older member, or one that does not go now. */
  #wholeFamilies(files: readonly DiskEntry[], all: readonly ListedEntry[], looks: Looks): readonly DiskEntry[] {
    const { units } = this.#source;
    const told = new Set(files.map(({ name }) => name));
    const there = new Set(all.map(({ name }) => name));
    return files.filter(({ name }) => {
      return !familyOf(units, name).some((each) => looks.has(each) || (there.has(each) && !told.has(each)));
    });
  }

  /** Whether every part of a new unit is new and visible. */
  async #isAllNew(path: DiskPath, stat: DiskStat, entries: readonly ListedEntry[]): Promise<boolean> {
    for (const entry of entries) {
      if (!hasStat(entry) || tooLarge(entry) !== undefined) return false;
      const below = path.concat(entry.name);
      const isDirectory = entry.stat.type === "directory";
      if (this.#isKnown(entry.stat) || isMount(entry.stat, stat)) return false;
      if (!isDirectory) continue;
      try {
        const inside = await this.#source.disk.list(below);
        if ((await this.#source.isApart(below, inside)) !== false) return false;
        if (!(await this.#isAllNew(below, entry.stat, inside))) return false;
      } catch (error) {
        if (failedWith(error, ...NOT_LISTED)) return false;
        throw error;
      }
    }
    return true;
  }

  /** Whether it was synced at another place: it was moved, or got another name. */
  #isKnown(stat: DiskStat): boolean {
    if (this.#isFirst) return false;
    const { db } = this.#source;
    return db.hasInode(stat.ino, ({ record, seen }) => record.type === stat.type && isSameInode(seen, stat));
  }
}

type Looks = ReadonlyMap<FileName, Look>;

const NO_LOOKS: Looks = new Map();

function textOf(path: DiskPath): string {
  return path.join("/");
}
