/**
 * What folder sync may do to versions, judged after every pass from outside: by what people did in the folder since the pass before, what
 * the folder shows, and which commits the bucket has. A version is a text that was saved once and nowhere else.
 *
 * The rules are those of docs/design/merge.md (no lost bytes, no resurrection, intention; its table on renames, deletes and edits) and of docs/design/folder-sync.md.
 * What somebody did is known by comparing the folder with what the last pass left in it, so an action counts against what its doer saw:
 * who deletes a version that others moved meanwhile did not mean the one at its new place.
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
  /** Where a pass left which version, before anybody's later actions that no commit has yet. */
  shown: Map<string, ReadonlySet<string>>;
  /** The tree that the last pass left, if it was played to its end with nobody's actions in between. */
  left: Tree | undefined;
  /** Versions that a pass moved or brought before its process died: nobody can say whether it was noted. */
  readonly unnoted: Set<string>;
  /** Versions that it had when its process died: they may come into the bucket later, and be replaced here before. */
  readonly sent: Set<string>;
}

/** A folder at one moment. */
interface Look {
  readonly tree: Tree;
  /** Versions that are on their way from one place to another, out of sight. */
  readonly hidden: ReadonlySet<string>;
}

/** Lets somebody do something in the folder while a pass is under way: after its scan. */
export type Interrupt = (action: () => void) => void;

export class SyncOracle {
  /** Versions that were lost. */
  readonly lost: string[] = [];
  /** What somebody replaced or deleted and is there still, or again; and what is otherwise than the only one who changed it left it. */
  readonly back: string[] = [];
  readonly #bucket: Bucket;
  readonly #folders = new Map<MemorySyncDisk, Folder>();
  /** Of every version that was ever in the bucket, whose it was last. */
  readonly #published = new Map<string, FileId>();
  /** And in which directory; undefined: the root. */
  readonly #homes = new Map<string, FileId | undefined>();
  /** Every version that was ever seen in a folder; what is half written is none. */
  readonly #saved = new Set<string>();
  readonly #inPortions: boolean;
  #head: Head | undefined;

  /** `inPortions`: a pass whose process dies may have told the bucket a part of what was done. */
  constructor(bucket: Bucket, inPortions = false) {
    this.#bucket = bucket;
    this.#inPortions = inPortions;
  }

  /** Plays a pass in a folder, and judges it. `play` answers whether the process died. */
  async pass(disk: MemorySyncDisk, play: (interrupt: Interrupt) => Promise<boolean>): Promise<void> {
    const folder = this.#folders.get(disk) ?? {
      shown: new Map(),
      left: new Map(),
      unnoted: new Set(),
      sent: new Set(),
    };
    this.#folders.set(disk, folder);
    const [head, before] = [await this.#readHead(), look(disk)];
    /** What the pass did: from one look to another, with somebody's actions in between. */
    const steps: [Look, Look][] = [];
    let from = before;
    const died = await play((action) => {
      steps.push([from, look(disk)]);
      action();
      from = look(disk);
    });
    steps.push([from, look(disk)]);
    const next = await this.#readHead();
    const commits = head !== next;
    const mayBePart = died && this.#inPortions;
    if (commits) this.#judgeCommit(folder, before, head, next, mayBePart);
    for (const [one, other] of steps) this.#judgeStep(one, other, next);
    // Where nobody else changed anything, the bucket becomes what the folder is.
    const isAlone = folder.left !== undefined && (commits || !died) && !mayBePart && sameTree(folder.left, head.tree);
    if (isAlone)
      this.#leave(sameTree(next.tree, before.tree), "what one folder alone changed is otherwise in the bucket");
    this.#notePublished(next);
    if (commits && mayBePart) noteTold(folder, placesOf(before.tree), next.places);
    else if (commits || !died)
      folder.shown = new Map([...unseenActions(folder, before, next), ...placesOf(before.tree)]);
    if (!died) folder.unnoted.clear();
    if (died) for (const version of placesOf(before.tree).keys()) folder.sent.add(version);
    for (const [one, other] of steps) follow(folder, placesOf(one.tree), placesOf(other.tree), died);
    folder.left = died || steps.length > 1 ? undefined : disk.tree();
  }

  /** Whether all folders show what the bucket has. */
  async rests(disks: readonly MemorySyncDisk[]): Promise<boolean> {
    const { tree } = await this.#readHead();
    return disks.every((disk) => sameTree(disk.tree(), tree));
  }

  /** What one folder's changes may do to the bucket. */
  #judgeCommit(
    { shown, unnoted, sent }: Folder,
    { tree, hidden }: Look,
    head: Head,
    next: Head,
    mayBePart: boolean,
  ): void {
    const [was, is] = [shown, placesOf(tree)];
    for (const [version] of head.places) {
      const wasHere = was.has(version) || unnoted.has(version) || sent.has(version);
      const isKilled = wasHere && !is.has(version) && !hidden.has(version);
      this.#keep(next.places.has(version) || isKilled, `${version} left the bucket, and nobody here replaced it`);
    }
    for (const [version, places] of is) {
      if (next.places.has(version) || mayBePart) continue;
      this.#keep(this.#published.has(version), `${version} was saved here, and is not in the bucket`);
      const survives = !unnoted.has(version) && isRenamed(was.get(version), places) && !this.#livesOn(version, head);
      this.#keep(!survives, `${version} was renamed here and deleted elsewhere, and is gone`);
    }
    for (const [version] of next.places) {
      if (head.places.has(version)) continue;
      const [from, to] = [was.get(version), is.get(version)];
      const isNew = to !== undefined && !this.#published.has(version);
      // Where directories changed places, too, it may be at the path where it was.
      const isMoved = from !== undefined && to !== undefined && (hasMore(to, from) || this.#isElsewhere(version, next));
      const isEdited = !unnoted.has(version) && this.#livesOn(version, head);
      this.#leave(isNew || (isMoved && !isEdited), `${version} came back to the bucket`);
    }
    for (const [version, places] of was) {
      if (mayBePart || is.has(version) || hidden.has(version) || unnoted.has(version) || !next.places.has(version))
        continue;
      // Others moved it, or a merge made a copy of it: that was not seen here.
      const elsewhere = head.places.get(version);
      const isUnseen = elsewhere !== undefined && hasMore(elsewhere, places);
      this.#leave(isUnseen, `${version} was replaced or deleted here, and is in the bucket still`);
    }
  }

  /** What the bucket may do to a folder. */
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
      if (path !== undefined) this.#homes.set(version, homeOf(path, ids));
    }
  }

  /** Whether the file that had this version last has another one now: a rename follows it there. */
  #livesOn(version: string, { ids }: Head): boolean {
    const id = this.#published.get(version);
    return [...ids.values()].some((each) => each === id);
  }

  /** Whether it is in another directory than it was last. */
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

/** Of what was done what the bucket has so: the rest a later pass tells it. */
function noteTold({ shown }: Folder, is: Places, told: Places): void {
  for (const version of new Set([...shown.keys(), ...is.keys()])) {
    const [places, there] = [is.get(version), told.get(version)];
    if (places === undefined && there === undefined) shown.delete(version);
    if (places !== undefined && there !== undefined && !hasMore(places, there)) shown.set(version, places);
  }
}

/** What was replaced in a directory that then was out of sight of the scan: a later pass tells the bucket. */
function unseenActions({ shown }: Folder, { tree, hidden }: Look, { places }: Head): [string, ReadonlySet<string>][] {
  if (hidden.size === 0) return [];
  const is = placesOf(tree);
  return [...shown].filter(([version]) => !is.has(version) && places.has(version));
}

/** What a pass moved, brought or took away is shown so from then on. */
function follow({ shown, unnoted }: Folder, from: Places, to: Places, died: boolean): void {
  for (const version of new Set([...from.keys(), ...to.keys()])) {
    const [was, is] = [from.get(version) ?? NOWHERE, to.get(version) ?? NOWHERE];
    if (!hasMore(was, is) && !hasMore(is, was)) continue;
    // What it brought was noted: others' moves may be half done.
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
  return ids.get(path.split("/").slice(0, -1).join("/"));
}

/** Whether `places` has one that `others` has not. */
function hasMore(places: ReadonlySet<string>, others: ReadonlySet<string>): boolean {
  return [...places].some((path) => !others.has(path));
}

/** By its own last name: what only a directory above it was given does not count. */
function isRenamed(from: ReadonlySet<string> | undefined, to: ReadonlySet<string>): boolean {
  const [[was], [is]] = [[...(from ?? [])], [...to]];
  return from?.size === 1 && to.size === 1 && was?.split("/").at(-1) !== is?.split("/").at(-1);
}

function sameTree(one: Tree, other: Tree): boolean {
  return one.size === other.size && [...one].every(([path, text]) => other.get(path) === text);
}
