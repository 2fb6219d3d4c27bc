/**
 * Judges what folder sync does to versions after every pass, from outside: by people's actions in the folder since the last
 * pass, the folder's contents, and the bucket's commits. A version is a text saved once and nowhere else.
 *
 * The rules are those of docs/design/merge.md (no lost bytes, no resurrection, intention; its table on renames, deletes and
 * edits) and of docs/design/folder-sync.md. Actions are found by comparing the folder with what the last pass left. An
 * action affects only what its author saw: deleting a version does not delete it at a place where another folder moved it.
 */
import type { FileId } from "../../src/base/ids.ts";
import type { Bucket } from "../../src/bucket/bucket.ts";
import { NEW_PATH, PARKED_PATH } from "../../src/sync/disk/paths.ts";
import type { MemorySyncDisk } from "../../src/simulate/folder/memory-sync-disk.ts";
import { objectsOf } from "./test-bucket.ts";

type Tree = ReadonlyMap<string, string>;
/** Version → where it is. */
type Places = ReadonlyMap<string, ReadonlySet<string>>;

const NOWHERE: ReadonlySet<string> = new Set();

interface Head {
  readonly commit: string;
  readonly tree: Tree;
  readonly places: Places;
  readonly ids: ReadonlyMap<string, FileId>;
}

interface Folder {
  /** Where the last pass left each version, before later actions that no commit has yet. */
  shown: Map<string, ReadonlySet<string>>;
  /** The tree that the last pass left; undefined if it died or an action interrupted it. */
  left: Tree | undefined;
  /** The trees in which passes died, until one lives. */
  deaths: readonly Tree[];
  /** Versions that a pass moved or brought before its process died: whether this was noted is unknown. */
  readonly unnoted: Set<string>;
  /** Versions here when the process died: they may reach the bucket later, even if replaced here before that. */
  readonly sent: Set<string>;
}

/** A folder at one moment. */
interface Look {
  readonly tree: Tree;
  /** Versions being moved between two places, out of sight. */
  readonly hidden: ReadonlySet<string>;
}

/** Lets an action happen in the folder during a pass. `isScanned`: the scan came first, and did not see it. */
export type Interrupt = (action: () => void, isScanned: boolean) => void;

export class SyncOracle {
  /** Versions that were lost. */
  readonly lost: string[] = [];
  /** Replaced or deleted versions that are back, and objects changed by one folder that differ from what it left. */
  readonly back: string[] = [];
  readonly #bucket: Bucket;
  readonly #folders = new Map<MemorySyncDisk, Folder>();
  /** The object that last had each version that was ever in the bucket. */
  readonly #published = new Map<string, FileId>();
  /** All objects that had each version. */
  readonly #had = new Map<string, Set<FileId>>();
  /** The directory that last had each version; undefined: the root directory. */
  readonly #homes = new Map<string, FileId | undefined>();
  /** Every version ever seen in a folder, half-written ones excepted. */
  readonly #saved = new Set<string>();
  readonly #inPortions: boolean;
  #head: Head | undefined;

  /** `inPortions`: a pass whose process dies may have published a part of the changes. */
  constructor(bucket: Bucket, inPortions = false) {
    this.#bucket = bucket;
    this.#inPortions = inPortions;
  }

  /** Plays a pass in a folder, and judges it. `play` returns whether the process died. */
  async pass(disk: MemorySyncDisk, play: (interrupt: Interrupt) => Promise<boolean>): Promise<void> {
    const folder = this.#folders.get(disk) ?? {
      shown: new Map(),
      left: new Map(),
      deaths: [],
      unnoted: new Set(),
      sent: new Set(),
    };
    this.#folders.set(disk, folder);
    const head = await this.#readHead();
    /** What the pass did, as pairs of looks between actions. */
    const steps: [Look, Look][] = [];
    let from = look(disk);
    /** What the scan sees, and how many steps came before it. */
    let [before, early] = [from, 0];
    const died = await play((action, isScanned) => {
      steps.push([from, look(disk)]);
      action();
      from = look(disk);
      if (!isScanned) [before, early] = [from, steps.length];
    });
    steps.push([from, look(disk)]);
    const next = await this.#readHead();
    const commits = head !== next;
    const mayBePart = died && this.#inPortions;
    // Before its scan, a pass only completes what a killed one began.
    for (const [one, other] of steps.slice(0, early)) follow(folder, placesOf(one.tree), placesOf(other.tree), true);
    if (commits) this.#judgeCommit(folder, before, head, next, mayBePart);
    for (const [one, other] of steps) this.#judgeStep(one, other, next);
    // If no other folder changed anything, the bucket must equal the folder.
    const isAlone = folder.left !== undefined && (commits || !died) && !mayBePart && sameTree(folder.left, head.tree);
    if (isAlone)
      this.#leave(sameTree(next.tree, before.tree), "what one folder alone changed is otherwise in the bucket");
    this.#notePublished(next);
    if (commits && mayBePart) noteTold(folder, placesOf(before.tree), next.places);
    else if (commits || !died)
      folder.shown = new Map([...unseenActions(folder, before, next), ...placesOf(before.tree)]);
    if (!died) folder.unnoted.clear();
    if (died) for (const version of placesOf(before.tree).keys()) folder.sent.add(version);
    for (const [one, other] of steps.slice(early)) follow(folder, placesOf(one.tree), placesOf(other.tree), died);
    folder.left = died || steps.length > 1 ? undefined : disk.tree();
    folder.deaths = died ? [...folder.deaths, disk.tree()] : [];
  }

  /** Whether all folders show what the bucket has. */
  async rests(disks: readonly MemorySyncDisk[]): Promise<boolean> {
    const { tree } = await this.#readHead();
    return disks.every((disk) => sameTree(disk.tree(), tree));
  }

  /** Judges what one folder's changes did to the bucket. */
  #judgeCommit(
    { shown, unnoted, sent, deaths }: Folder,
    { tree, hidden }: Look,
    head: Head,
    next: Head,
    mayBePart: boolean,
  ): void {
    const [was, is] = [shown, placesOf(tree)];
    for (const [version, places] of head.places) {
      const wasHere = was.has(version) || unnoted.has(version) || sent.has(version);
      // After a death it may also be left at a place where the bucket has another one by now.
      const isLeftover = deaths.some((seen) => isReplaced(version, places, seen, tree));
      const isGone = !is.has(version) && !hidden.has(version);
      const isKilled = wasHere && (isGone || isLeftover || isRemoved(places, was.get(version), is.get(version)));
      this.#keep(next.places.has(version) || isKilled, `${version} left the bucket, and nobody here replaced it`);
    }
    for (const [version, places] of is) {
      if (next.places.has(version) || mayBePart) continue;
      this.#keep(this.#published.has(version), `${version} was saved here, and is not in the bucket`);
      const survives = !unnoted.has(version) && isRenamed(was.get(version), places) && !this.#anyLivesOn(version, head);
      this.#keep(!survives, `${version} was renamed here and deleted elsewhere, and is gone`);
    }
    for (const [version] of next.places) {
      if (head.places.has(version)) continue;
      const [from, to] = [was.get(version), is.get(version)];
      const isNew = to !== undefined && !this.#published.has(version);
      // If directories changed places, too, the version may be at its old path.
      const isMoved = from !== undefined && to !== undefined && (hasMore(to, from) || this.#isElsewhere(version, next));
      const isEdited = !unnoted.has(version) && this.#livesOn(version, head);
      const isBackup = isBesideSave(version, was, tree);
      this.#leave(isNew || isBackup || (isMoved && !isEdited), `${version} came back to the bucket`);
    }
    for (const [version, places] of was) {
      if (mayBePart || is.has(version) || hidden.has(version) || unnoted.has(version) || !next.places.has(version))
        continue;
      // Another folder moved it, or a merge copied it, unseen by this folder.
      const elsewhere = head.places.get(version);
      const isUnseen = elsewhere !== undefined && hasMore(elsewhere, places);
      this.#leave(isUnseen, `${version} was replaced or deleted here, and is in the bucket still`);
    }
  }

  /** Judges what the bucket did to a folder. */
  #judgeStep(from: Look, to: Look, head: Head): void {
    const [was, is] = [placesOf(from.tree), placesOf(to.tree)];
    for (const version of was.keys()) this.#saved.add(version);
    for (const version of this.#saved) {
      if (!was.has(version) && !from.hidden.has(version)) continue;
      const isThere = is.has(version) || to.hidden.has(version);
      const isKnown = this.#published.has(version) || head.places.has(version);
      this.#keep(isThere || isKnown, `${version} left the folder, and never was in the bucket`);
    }
    for (const [version] of is) {
      const isThere = was.has(version) || from.hidden.has(version);
      this.#leave(isThere || head.places.has(version), `${version} came to the folder, and is not in the bucket`);
    }
  }

  #notePublished({ places, ids }: Head): void {
    for (const [version, [path]] of places) {
      const id = path === undefined ? undefined : ids.get(path);
      if (id !== undefined) this.#published.set(version, id);
      if (id !== undefined) this.#had.set(version, (this.#had.get(version) ?? new Set()).add(id));
      if (path !== undefined) this.#homes.set(version, homeOf(path, ids));
    }
  }

  /** Whether the file that had this version has another one now, which a rename then follows. */
  #livesOn(version: string, { ids }: Head): boolean {
    const id = this.#published.get(version);
    return [...ids.values()].some((each) => each === id);
  }

  /** As `#livesOn`, of all files that had this version: one of them was renamed. */
  #anyLivesOn(version: string, { ids }: Head): boolean {
    const had = this.#had.get(version);
    return [...ids.values()].some((id) => had?.has(id) === true);
  }

  /** Whether the version is in another directory than last time. */
  #isElsewhere(version: string, { places, ids }: Head): boolean {
    const [path] = places.get(version) ?? NOWHERE;
    return path !== undefined && homeOf(path, ids) !== this.#homes.get(version);
  }

  async #readHead(): Promise<Head> {
    const { cid, body } = (await this.#bucket.head()).commit;
    if (this.#head?.commit === cid) return this.#head;
    const objects = [...(await objectsOf(this.#bucket, body.tree))];
    const tree = new Map(objects.map(([path, { text }]) => [path, text]));
    const ids = new Map(objects.map(([path, { id }]) => [path, id]));
    return (this.#head = { commit: cid, tree, ids, places: placesOf(tree) });
  }

  #keep(holds: boolean, wrong: string): void {
    if (!holds) this.lost.push(wrong);
  }

  #leave(holds: boolean, wrong: string): void {
    if (!holds) this.back.push(wrong);
  }
}

function look(disk: MemorySyncDisk): Look {
  const hidden = [...disk.tree(PARKED_PATH).values(), ...disk.tree(NEW_PATH).values()];
  return { tree: disk.tree(), hidden: new Set(hidden.filter((text) => text !== "dir")) };
}

/** Updates `shown` with the changes that the bucket has; a later pass publishes the rest. */
function noteTold({ shown }: Folder, is: Places, told: Places): void {
  for (const version of new Set([...shown.keys(), ...is.keys()])) {
    const [places, there] = [is.get(version), told.get(version)];
    if (places === undefined && there === undefined) shown.delete(version);
    if (places !== undefined && there !== undefined && !hasMore(places, there)) shown.set(version, places);
  }
}

/** Replacements in a directory that the scan could not see then: a later pass publishes them. */
function unseenActions({ shown }: Folder, { tree, hidden }: Look, { places }: Head): [string, ReadonlySet<string>][] {
  if (hidden.size === 0) return [];
  const is = placesOf(tree);
  return [...shown].filter(([version]) => !is.has(version) && places.has(version));
}

/** Updates `shown` with what a pass moved, brought or removed. */
function follow({ shown, unnoted }: Folder, from: Places, to: Places, died: boolean): void {
  for (const version of new Set([...from.keys(), ...to.keys()])) {
    const [was, is] = [from.get(version) ?? NOWHERE, to.get(version) ?? NOWHERE];
    if (!hasMore(was, is) && !hasMore(is, was)) continue;
    // New versions were noted; moves by other folders may be half done.
    if (died && was !== NOWHERE) unnoted.add(version);
    const places = [...(shown.get(version) ?? NOWHERE)].filter((path) => is.has(path) || !was.has(path));
    const now = new Set([...places, ...[...is].filter((path) => !was.has(path))]);
    if (now.size > 0) shown.set(version, now);
    else shown.delete(version);
  }
}

function placesOf(tree: Tree): Places {
  const places = new Map<string, Set<string>>();
  for (const [path, text] of tree) {
    if (text === "dir") continue;
    const known = places.get(text);
    if (known === undefined) places.set(text, new Set([path]));
    else known.add(path);
  }
  return places;
}

function homeOf(path: string, ids: ReadonlyMap<string, FileId>): FileId | undefined {
  return ids.get(directoryOf(path));
}

/** Whether `places` has a path that `others` does not have. */
function hasMore(places: ReadonlySet<string>, others: ReadonlySet<string>): boolean {
  return [...places].some((path) => !others.has(path));
}

/** Whether somebody removed the version at each place where the bucket has it, and it is left in a file that others edited. */
function isRemoved(
  there: ReadonlySet<string>,
  was: ReadonlySet<string> = NOWHERE,
  is: ReadonlySet<string> = NOWHERE,
): boolean {
  // Equal texts do not tell files apart. But if there are fewer places than before, at least one file was removed.
  return is.size < was.size && [...there].every((path) => was.has(path) && !is.has(path));
}

/** Whether somebody saw the version at each place where the bucket has it, and wrote another one there. */
function isReplaced(version: string, there: ReadonlySet<string>, was: Tree, is: Tree): boolean {
  return [...there].every((path) => was.get(path) === version && is.has(path) && is.get(path) !== version);
}

/** Whether a version was renamed in its directory, and one that nobody saw before has its old name: it is a new file. */
function isBesideSave(version: string, was: Places, is: Tree): boolean {
  const directories = new Set([...(placesOf(is).get(version) ?? NOWHERE)].map(directoryOf));
  return [...(was.get(version) ?? NOWHERE)].some((path) => {
    const there = is.get(path);
    return there !== undefined && there !== "dir" && !was.has(there) && directories.has(directoryOf(path));
  });
}

function directoryOf(path: string): string {
  return path.split("/").slice(0, -1).join("/");
}

/** Whether its own last name changed; renames of directories above do not count. */
function isRenamed(from: ReadonlySet<string> | undefined, to: ReadonlySet<string>): boolean {
  const [[was], [is]] = [[...(from ?? [])], [...to]];
  return from?.size === 1 && to.size === 1 && was?.split("/").at(-1) !== is?.split("/").at(-1);
}

function sameTree(one: Tree, other: Tree): boolean {
  return one.size === other.size && [...one].every(([path, text]) => other.get(path) === text);
}
