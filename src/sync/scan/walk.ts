/**
 * What is in the folder now, as lstat shows it, parents first. Reads no contents and follows no links. For directories
 * whose entries are all unchanged, lists only the directories: among very many files, a scan finds few that matter.
 */
import { ROOT_ID, type FileId, type FileName } from "../../base/ids.ts";
import { failedWith } from "../../base/system-errors.ts";
import type { Look } from "../known/database.ts";
import { isSameInode, isUntouched } from "../known/seen.ts";
import {
  hasStat,
  type DiskEntry,
  type DiskPath,
  type DiskStat,
  type ListedEntry,
  type SyncDisk,
} from "../disk/disk.ts";
import type { IgnoreRules } from "./ignore-rules.ts";
import { FEW } from "./entries-of-object.ts";
import { tooLarge } from "./too-large.ts";

/** An object that exists. */
export interface Found {
  readonly path: DiskPath;
  readonly stat: DiskStat;
  /** Undefined for the root. */
  readonly parent: Found | undefined;
  readonly name: FileName;
  /** A directory's entries. */
  readonly children: readonly Found[];
  /** A directory with unknown entries: it cannot be read, is synced by itself, or has too long a name. */
  readonly closed: boolean;
  /** Names in a directory of which nothing is known: the system tells nothing of them, or something is mounted there. */
  readonly unknown: readonly FileName[];
}

export interface Walked {
  readonly root: Found;
  /** Paths of fifos, sockets and devices, which are not synced. */
  readonly special: readonly DiskPath[];
  /** Where something is mounted in the folder. */
  readonly mounts: readonly DiskPath[];
  /** Directories that are synced with the same bucket themselves. */
  readonly apart: readonly DiskPath[];
  /** What could not be read: directories, and names that the system tells nothing of. */
  readonly unreadable: readonly DiskPath[];
  /** Those of these paths where nothing can be changed either. */
  readonly outOfReach: readonly DiskPath[];
  /** Directories whose files and links are left out as unchanged, and whether they contain directories. */
  readonly settled: ReadonlyMap<FileId, boolean>;
  /** The ignored names in each directory that is not ignored itself. */
  readonly ignored: ReadonlyMap<Found, readonly IgnoredName[]>;
  /** The walk stopped early, since so much is new. */
  readonly isCut: boolean;
}

export interface IgnoredName {
  readonly name: FileName;
  readonly isDirectory: boolean;
}

/** What the last scan saw. */
export interface SeenBefore {
  looks(parent: FileId): ReadonlyMap<FileName, Look>;
  /** Objects with several names: if one of them is listed, all are. */
  linkedIds(): ReadonlySet<FileId>;
}

/** How much new data a walk lists. */
export interface Most {
  readonly things: number;
  readonly bytes: number;
}

const ANY: Most = { things: Infinity, bytes: Infinity };

/** Whether a directory is synced by itself, and so left out. Undefined: that cannot be told now. */
export type IsApart = (path: DiskPath, entries: readonly ListedEntry[]) => Promise<boolean | undefined>;

export const NONE_APART: IsApart = async () => false;

/**
 * Lists everything unless `before` is given. Throws what listing the root does. Other directories that cannot be read, or
 * are left out, are `closed`: their entries are unknown. Stops early when more than `most` is new.
 */
export async function walk(
  disk: SyncDisk,
  rules: IgnoreRules,
  before?: SeenBefore,
  most: Most = ANY,
  isApart = NONE_APART,
): Promise<Walked> {
  const { walked, isTwice } = await walkOnce(disk, rules, before, most, isApart);
  // All entries are needed to tell which of the two places it is in.
  return isTwice && !walked.isCut ? (await walkOnce(disk, rules, undefined, ANY, isApart)).walked : walked;
}

/** `isTwice`: a directory was found at two places, as when it is mounted again or moved during the walk. */
async function walkOnce(
  disk: SyncDisk,
  rules: IgnoreRules,
  before: SeenBefore | undefined,
  most: Most,
  isApart: IsApart,
): Promise<{ walked: Walked; isTwice: boolean }> {
  const walker = new Walker(disk, rules, before, most, isApart);
  const stat = await disk.look([]);
  const entries = await disk.list([]);
  if (stat === undefined) throw new RangeError("The folder's root was listed but is missing.");
  const root = await walker.directory({ path: [], stat, parent: undefined, name: "" as FileName }, entries, ROOT_ID);
  const { special, mounts, apart, unreadable, outOfReach, settled, ignored, isCut, isTwice } = walker;
  return { walked: { root, special, mounts, apart, unreadable, outOfReach, settled, ignored, isCut }, isTwice };
}

type Named = Pick<Found, "path" | "stat" | "parent" | "name">;

export const NO_CHILDREN: readonly Found[] = [];
const NO_NAMES: readonly FileName[] = [];
/** Removed or replaced by a link since its name was read: the next scan sees the result. */
const GONE = ["ENOENT", "ENOTDIR", "ELOOP"] as const;
/** Errors of what is in a directory that is shut. */
export const CLOSED = [
  "EACCES",
  "EPERM",
  "EIO",
  "ESTALE",
  "EBADMSG",
  "EUCLEAN",
  "ENOKEY",
  "ENAMETOOLONG",
  "ENOTCONN",
] as const;
/** Errors of listing a directory that do not stop a scan. */
export const NOT_LISTED = [...GONE, ...CLOSED];

/** What a directory holds. Undefined: it is gone, or cannot be read. */
export async function listIfReadable(disk: SyncDisk, path: DiskPath): Promise<readonly ListedEntry[] | undefined> {
  try {
    return await disk.list(path);
  } catch (error) {
    if (failedWith(error, ...NOT_LISTED)) return undefined;
    throw error;
  }
}

/** What is at a path; "closed" if a directory above it cannot be read. A scan takes such a path for unchanged. */
export async function lookBelow(disk: SyncDisk, path: DiskPath): Promise<DiskStat | "closed" | undefined> {
  try {
    return await disk.look(path);
  } catch (error) {
    if (failedWith(error, ...CLOSED)) return "closed";
    throw error;
  }
}

/**
 * Whether something else is mounted on an entry of a directory, which hides the entry: it must not seem to be changed or
 * deleted, and nothing can be renamed there. On overlay filesystems, files have other devices than their directories.
 */
export function isMount({ type, dev, isMounted }: DiskStat, above: Pick<DiskStat, "dev">): boolean {
  return isMounted || (type === "directory" && dev !== above.dev);
}

export function foundAs(
  { path, stat, parent, name }: Named,
  children: readonly Found[],
  closed: boolean,
  unknown = NO_NAMES,
): Found {
  return { path, stat, parent, name, children, closed, unknown };
}

/** What a walk found at a path. */
export function foundAt(root: Found, path: DiskPath): Found | undefined {
  return path.reduce<Found | undefined>((at, name) => at && childOf(at, name), root);
}

function childOf(directory: Found, name: FileName): Found | undefined {
  const { children } = directory;
  if (children.length <= FEW) return children.find((each) => each.name === name);
  let named = childrenByName.get(directory);
  if (named === undefined) {
    named = new Map(children.map((each) => [each.name, each]));
    childrenByName.set(directory, named);
  }
  return named.get(name);
}

/** Indexes of large directories, built on demand. What was found does not change. */
const childrenByName = new WeakMap<Found, ReadonlyMap<FileName, Found>>();

class Walker {
  readonly special: DiskPath[] = [];
  readonly mounts: DiskPath[] = [];
  readonly apart: DiskPath[] = [];
  readonly unreadable: DiskPath[] = [];
  readonly outOfReach: DiskPath[] = [];
  readonly settled = new Map<FileId, boolean>();
  readonly ignored = new Map<Found, readonly IgnoredName[]>();
  readonly #disk: SyncDisk;
  readonly #rules: IgnoreRules;
  readonly #before: SeenBefore | undefined;
  /** Inodes of directories. */
  readonly #met = new Set<bigint>();
  isTwice = false;
  readonly #linked: ReadonlySet<FileId>;
  readonly #most: Most;
  readonly #isApart: IsApart;
  #newThings = 0;
  #newBytes = 0;

  constructor(disk: SyncDisk, rules: IgnoreRules, before: SeenBefore | undefined, most: Most, isApart: IsApart) {
    this.#disk = disk;
    this.#rules = rules;
    this.#before = before;
    this.#most = most;
    this.#isApart = isApart;
    this.#linked = before?.linkedIds() ?? new Set();
  }

  get isCut(): boolean {
    return this.#newThings > this.#most.things || this.#newBytes > this.#most.bytes;
  }

  /** `id`: the directory's id, if it is still in its place. */
  async directory(named: Named, entries: readonly ListedEntry[], id: FileId | undefined): Promise<Found> {
    const children: Found[] = [];
    const ignored: IgnoredName[] = [];
    const listed = entries.filter(({ name, stat: { type } }) => {
      const isDirectory = type === "directory";
      const isIgnored = this.#rules.ignores(named.path.concat(name), isDirectory);
      if (isIgnored) ignored.push({ name, isDirectory });
      return !isIgnored;
    });
    const isThere = (entry: ListedEntry): entry is DiskEntry => hasStat(entry) && !isMount(entry.stat, named.stat);
    const shown = listed.filter(isThere);
    const hidden = listed.filter((entry) => !isThere(entry));
    const directory = foundAs(named, children, false, this.#unknownOf(named.path, hidden));
    if (ignored.length > 0) this.ignored.set(directory, ignored);
    const looks = id === undefined ? undefined : this.#before?.looks(id);
    const isSettled = looks !== undefined && hidden.length === 0 && this.#isSettled(shown, looks);
    if (isSettled && id !== undefined)
      this.settled.set(
        id,
        [...looks.values()].some((look) => look.isDirectory),
      );
    else this.#countNew(shown, looks);
    if (this.isCut) return directory;
    for (const { name, stat } of shown) {
      if (isSettled && (stat.type === "file" || stat.type === "symlink")) continue;
      const child = { path: named.path.concat(name), stat, parent: directory, name };
      if (stat.type === "file" || stat.type === "symlink") children.push(foundAs(child, NO_CHILDREN, false));
      else if (stat.type === "directory") {
        const look = looks?.get(name);
        const isSame = look?.isDirectory === true && isSameInode(look.seen, stat);
        const found = await this.#directoryIn(child, isSame ? look.id : undefined);
        if (found !== undefined) children.push(found);
      } else this.special.push(child.path);
    }
    return directory;
  }

  #unknownOf(path: DiskPath, hidden: readonly ListedEntry[]): readonly FileName[] {
    for (const entry of hidden) {
      const at = path.concat(entry.name);
      (hasStat(entry) ? this.mounts : this.unreadable).push(at);
      this.outOfReach.push(at);
    }
    return hidden.map(({ name }) => name);
  }

  #countNew(shown: readonly DiskEntry[], looks: ReadonlyMap<FileName, Look> | undefined): void {
    for (const { name, stat } of shown) {
      const isSynced = stat.type === "file" || stat.type === "symlink" || stat.type === "directory";
      if (!isSynced || looks?.has(name) === true) continue;
      this.#newThings++;
      if (stat.type === "file") this.#newBytes += stat.size;
    }
  }

  /** Whether everything seen before is there unchanged, and nothing else to sync. */
  #isSettled(shown: readonly DiskEntry[], looks: ReadonlyMap<FileName, Look>): boolean {
    let known = 0;
    for (const { name, stat } of shown) {
      if (stat.type !== "directory" && stat.type !== "file" && stat.type !== "symlink") continue;
      const look = looks.get(name);
      if (look === undefined || look.isDirectory !== (stat.type === "directory")) return false;
      if (look.isDirectory ? !isSameInode(look.seen, stat) : !this.#isAsSeen(look, stat)) return false;
      known++;
    }
    return known === looks.size;
  }

  #isAsSeen({ id, seen }: Look, stat: DiskStat): boolean {
    return stat.links === 1 && isUntouched(seen, stat) && !this.#linked.has(id);
  }

  async #directoryIn(named: Named, id: FileId | undefined): Promise<Found | undefined> {
    const { stat } = named;
    this.isTwice ||= this.#met.has(stat.ino);
    this.#met.add(stat.ino);
    return tooLarge(named) === undefined ? this.#listed(named, id) : foundAs(named, NO_CHILDREN, true);
  }

  async #listed(named: Named, id: FileId | undefined): Promise<Found | undefined> {
    let entries: ListedEntry[];
    try {
      entries = await this.#disk.list(named.path);
    } catch (error) {
      if (failedWith(error, ...GONE)) return undefined;
      if (!failedWith(error, ...CLOSED)) throw error;
      this.unreadable.push(named.path);
      // Changing a directory takes other permissions than listing it.
      if (!failedWith(error, "EACCES", "EPERM")) this.outOfReach.push(named.path);
      return foundAs(named, NO_CHILDREN, true);
    }
    const isApart = await this.#isApart(named.path, entries);
    if (isApart !== false) {
      (isApart === true ? this.apart : this.unreadable).push(named.path);
      this.outOfReach.push(named.path);
      return foundAs(named, NO_CHILDREN, true);
    }
    return this.directory(named, entries, id);
  }
}

/** A directory and everything in it. */
export function within(found: Found, into: Found[] = []): readonly Found[] {
  into.push(found);
  for (const child of found.children) within(child, into);
  return into;
}
