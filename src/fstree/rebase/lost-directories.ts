/**
 * Directories that hold or held an epoch's objects and that others have removed or moved since. For the epoch they still
 * exist, so the merge's base has them at their last places. Otherwise the merge could not tell what the others did.
 *
 * Moved ones matter only where they would form a cycle with directories that the epoch moved. If no existing tree has a
 * directory at a place that opens its cycle, it counts as having been in the root directory.
 */
import { type Cid, type FileId, type Ino, ROOT_ID } from "../../base/ids.ts";
import { selfKey } from "../../format/files/keys.ts";
import type { SelfRow } from "../../format/files/rows.ts";
import { KeySearch } from "../../tree/key-search.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { ChangedObject, ChangeSet } from "../change-set.ts";
import { readObject } from "../fs-reader.ts";
import { type Place, placeText } from "../object-rows.ts";
import { epochPlaces } from "./epoch-places.ts";
import { FreePlaces } from "./free-places.ts";
import type { OlderTrees } from "./kept-rows.ts";
import type { ObjectState } from "./transition.ts";
import { selfRowsIn, TreeDirectories } from "./tree-directories.ts";

export interface LostDirectories {
  /** What the base needs besides the kept rows, each at a place of its own. Usually nothing. */
  readonly found: readonly ObjectState[];
  /** Whether some are in no existing tree. */
  readonly incomplete: boolean;
}

/** Looks in older trees for the directories that `tree` does not have. */
export async function lostDirectories(
  nodes: NodeStore,
  tree: Cid,
  changes: ChangeSet,
  kept: readonly ObjectState[],
  olderTrees: OlderTrees,
): Promise<LostDirectories> {
  const search = new Search(nodes, tree, changes, kept);
  await search.begin();
  if (search.isDone) return { found: [], incomplete: false };
  for await (const older of olderTrees()) {
    await search.lookInto(older);
    if (search.isDone) break;
  }
  await search.openCycles();
  return { found: await search.found(), incomplete: search.isIncomplete };
}

/** An inode that was born in the epoch, as a node of the graph of directories. */
type Born = `born ${Ino}`;
type Directory = FileId | Born;
type Which = "base" | "ours";

class Search {
  readonly #nodes: NodeStore;
  readonly #tree: Cid;
  readonly #changes: ChangeSet;
  readonly #objects: ReadonlyMap<Ino, ChangedObject>;
  readonly #kept: ReadonlyMap<FileId, ObjectState>;
  readonly #there: TreeDirectories;
  readonly #changed = new Map<Directory, ChangedObject>();
  /** Directories that the epoch moved, or that others moved meanwhile: only these, and those in #found, can form cycles. */
  readonly #moved: Directory[] = [];
  readonly #lost = new Set<FileId>();
  readonly #found = new Map<FileId, ObjectState>();
  /** Those in #found of which only the name is known. */
  readonly #homeless = new Set<FileId>();
  /** Untouched directories that lie in themselves. */
  #cyclic: FileId[] = [];
  #sought: { readonly ids: ReadonlySet<FileId>; readonly rows: KeySearch };

  constructor(nodes: NodeStore, tree: Cid, changes: ChangeSet, kept: readonly ObjectState[]) {
    this.#nodes = nodes;
    this.#tree = tree;
    this.#changes = changes;
    this.#there = new TreeDirectories(nodes, tree);
    this.#kept = new Map(kept.map((state) => [state.id, state]));
    this.#objects = new Map(changes.objects.map((object) => [object.ino, object]));
    this.#sought = { ids: new Set(), rows: new KeySearch(nodes, []) };
    for (const object of changes.objects) {
      if ((object.record ?? object.base)?.type === "directory") this.#changed.set(keyOf(object), object);
    }
  }

  get isDone(): boolean {
    return this.#lost.size === 0 && this.#cyclic.length === 0;
  }

  get isIncomplete(): boolean {
    return this.#lost.size > 0;
  }

  async begin(): Promise<void> {
    const parents = new Set<FileId>(this.#changes.directories.values());
    for (const { names } of this.#kept.values()) for (const { parent } of names) parents.add(parent);
    await this.#there.load([...parents, ...[...this.#changed.values()].flatMap(({ id }) => id ?? [])]);
    for (const id of parents) await this.#need(id);
    for (const [directory, object] of this.#changed)
      if (await this.#isMoved(directory, object)) this.#moved.push(directory);
    await this.#there.loadUpwards(this.#aboveMoved());
    await this.#findCycles();
  }

  /** Takes lost directories, and former places of directories on cycles, from an older tree. */
  async lookInto(older: Cid): Promise<void> {
    const sought = new Set([...this.#lost, ...this.#cyclic]);
    if (![...sought].every((id) => this.#sought.ids.has(id)))
      this.#sought = { ids: sought, rows: new KeySearch(this.#nodes, [...sought].map(selfKey)) };
    const asked = new Set(sought);
    for (let found = await selfRowsIn(this.#sought.rows, older); ;) {
      for (const { id, self } of found) if (asked.has(id)) await this.#take(id, self);
      // Their parents may be lost too.
      const above = [...this.#lost].filter((id) => !asked.has(id));
      if (above.length === 0) break;
      for (const id of above) asked.add(id);
      found = await selfRowsIn(new KeySearch(this.#nodes, above.map(selfKey)), older);
    }
    await this.#findCycles();
  }

  /** Of each remaining cycle, the directory with the least id counts as having been in the root directory. */
  async openCycles(): Promise<void> {
    for (let [id] = this.#cyclic.sort(); id !== undefined; [id] = this.#cyclic.sort()) {
      const known = this.#found.get(id) ?? (await readObject(this.#nodes, this.#tree, id));
      const [place] = known?.names ?? [];
      if (known === undefined || place === undefined) return;
      const names = [{ parent: ROOT_ID, name: place.name }];
      this.#found.set(id, { id, type: "directory", names, record: known.record });
      this.#homeless.add(id);
      await this.#findCycles();
    }
  }

  /** If two have one name, the epoch's own keeps it; the other takes the conflict name of an old directory. */
  async found(): Promise<ObjectState[]> {
    const taken = new Set([...this.#kept.values()].flatMap(({ names }) => names.map(placeText)));
    const places = new FreePlaces(this.#nodes, this.#tree, taken);
    const states: ObjectState[] = [];
    for (const state of this.#found.values()) {
      if (this.#homeless.has(state.id)) continue;
      const names: Place[] = [];
      for (const place of state.names) names.push(await places.atOrBeside(place, state.id));
      states.push({ ...state, names });
    }
    if (this.#homeless.size === 0) return states;
    for (const place of epochPlaces(this.#changes, states)) taken.add(place);
    for (const state of this.#found.values()) {
      if (!this.#homeless.has(state.id)) continue;
      const names: Place[] = [];
      for (const place of state.names) names.push(await places.free(place, state.id));
      states.push({ ...state, names });
    }
    return states;
  }

  async #need(id: FileId): Promise<void> {
    if (id === ROOT_ID || this.#kept.has(id) || this.#found.has(id) || this.#lost.has(id)) return;
    if (!(await this.#there.has(id))) this.#lost.add(id);
  }

  async #take(id: FileId, self: SelfRow): Promise<void> {
    if (self.kind !== "directory" || self.place === undefined) return;
    this.#lost.delete(id);
    this.#found.set(id, { id, type: "directory", names: [self.place], record: self.record });
    await this.#need(self.place.parent);
  }

  async #isMoved(directory: Directory, object: ChangedObject): Promise<boolean> {
    if (object.id === undefined) return false;
    if (!(await this.#there.isDirectory(object.id))) return true;
    const there = await this.#there.parentOf(object.id);
    const [base, ours] = [await this.#placeOf(directory, "base"), await this.#placeOf(directory, "ours")];
    return [base, ours].some((parent) => parent !== undefined && parent !== there);
  }

  /** Where the paths up from moved directories begin. */
  #aboveMoved(): FileId[] {
    return this.#moved.flatMap((directory) => {
      const { baseNames = [], names = [] } = this.#changed.get(directory) ?? {};
      const places = [
        ...baseNames.map(({ parent }) => parent),
        ...names.map(({ parent }) => this.#directoryOf(parent)),
      ];
      return places.flatMap((id) => (id === undefined || isBorn(id) ? [] : id));
    });
  }

  async #findCycles(): Promise<void> {
    const cyclic = new Set<FileId>();
    for (const which of ["base", "ours"] as const) {
      const seen = new Set<Directory>();
      for (const start of [...this.#moved, ...this.#found.keys()]) {
        for (const directory of await this.#cycleAbove(start, which, seen))
          if (!this.#changed.has(directory) && !isBorn(directory)) cyclic.add(directory);
      }
    }
    this.#cyclic = [...cyclic];
  }

  /** Stops where an earlier walk has been. */
  async #cycleAbove(start: Directory, which: Which, seen: Set<Directory>): Promise<Directory[]> {
    const path: Directory[] = [];
    let at: Directory | undefined = start;
    while (at !== undefined && !seen.has(at)) {
      seen.add(at);
      path.push(at);
      at = await this.#placeOf(at, which);
    }
    const from = at === undefined ? -1 : path.indexOf(at);
    return from < 0 ? [] : path.slice(from);
  }

  /** The directory that holds it; undefined for the root and for objects without a place. */
  async #placeOf(directory: Directory, which: Which): Promise<Directory | undefined> {
    const object = this.#changed.get(directory);
    const [name] = object?.names ?? [];
    if (name !== undefined && which === "ours") return this.#directoryOf(name.parent);
    // One that the epoch removed stays where it was for what others put into it, or a new one there becomes it.
    if (object !== undefined) return object.baseNames[0]?.parent;
    if (isBorn(directory) || directory === ROOT_ID) return undefined;
    const found = this.#found.get(directory);
    return found === undefined ? this.#there.parentOf(directory) : found.names[0]?.parent;
  }

  #directoryOf(ino: Ino): Directory | undefined {
    const object = this.#objects.get(ino);
    return object === undefined ? this.#changes.directories.get(ino) : keyOf(object);
  }
}

function keyOf({ id, ino }: ChangedObject): Directory {
  return id ?? `born ${ino}`;
}

function isBorn(directory: Directory): directory is Born {
  return directory.startsWith("born ");
}
