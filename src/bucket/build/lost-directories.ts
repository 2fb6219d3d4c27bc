/**
 * Directories that an epoch's objects are in, or were in, and that others removed or moved since: for the epoch they are
 * still there, so the merge's base has them where they were last. Else the merge could not tell what the others did to them.
 *
 * Moved ones matter only where they would lie in themselves together with what the epoch moved.
 */
import type { Cid, FileId, Ino } from "../../base/ids.ts";
import { ROOT_ID } from "../../base/ids.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { ChangedObject, ChangeSet } from "../change-set.ts";
import { readSelf } from "../fs-reader.ts";
import { placeText } from "../object-rows.ts";
import type { Place } from "../object-rows.ts";
import { placeOrBeside } from "./free-place.ts";
import type { OlderTrees } from "./kept-rows.ts";
import type { ObjectState } from "./transition.ts";

export interface LostDirectories {
  /** What the base has to have besides the kept rows, each at a place of its own. Nothing, as a rule. */
  readonly found: readonly ObjectState[];
  /** Whether some are in no tree that there is. */
  readonly incomplete: boolean;
}

/** Looks in older trees for what `tree` does not show. */
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
  readonly #changed = new Map<Directory, ChangedObject>();
  /** Directories that the epoch moved, or that others moved under it: only with these can there be cycles. */
  readonly #moved: Directory[] = [];
  readonly #lost = new Set<FileId>();
  readonly #found = new Map<FileId, ObjectState>();
  /** Untouched directories that lie in themselves. */
  #cyclic: FileId[] = [];

  constructor(nodes: NodeStore, tree: Cid, changes: ChangeSet, kept: readonly ObjectState[]) {
    this.#nodes = nodes;
    this.#tree = tree;
    this.#changes = changes;
    this.#kept = new Map(kept.map((state) => [state.id, state]));
    this.#objects = new Map(changes.objects.map((object) => [object.ino, object]));
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
    for (const id of parents) await this.#need(id);
    for (const [directory, object] of this.#changed)
      if (await this.#isMoved(directory, object)) this.#moved.push(directory);
    await this.#findCycles();
  }

  /** Takes from an older tree what is lost, and where the directories of cycles were. */
  async lookInto(older: Cid): Promise<void> {
    for (const id of this.#lost) await this.#take(id, older);
    for (const id of this.#cyclic) await this.#take(id, older);
    // The directories that these were in may be lost too: sets are gone through as they grow.
    for (const id of this.#lost) await this.#take(id, older);
    await this.#findCycles();
  }

  /** Two at one name: the epoch's own keep it, others take the name under which two old directories part. */
  async found(): Promise<ObjectState[]> {
    const taken = new Set([...this.#kept.values()].flatMap(({ names }) => names.map(placeText)));
    const states: ObjectState[] = [];
    for (const state of this.#found.values()) {
      const names: Place[] = [];
      for (const place of state.names) names.push(await placeOrBeside(this.#nodes, this.#tree, place, state.id, taken));
      states.push({ ...state, names });
    }
    return states;
  }

  async #need(id: FileId): Promise<void> {
    if (id === ROOT_ID || this.#kept.has(id) || this.#found.has(id) || this.#lost.has(id)) return;
    if ((await readSelf(this.#nodes, this.#tree, id)) === undefined) this.#lost.add(id);
  }

  async #take(id: FileId, older: Cid): Promise<void> {
    const self = await readSelf(this.#nodes, older, id);
    if (self?.kind !== "directory" || self.place === undefined) return;
    this.#lost.delete(id);
    this.#found.set(id, { id, type: "directory", names: [self.place], record: self.record });
    await this.#need(self.place.parent);
  }

  async #isMoved(directory: Directory, object: ChangedObject): Promise<boolean> {
    if (object.id === undefined) return false;
    const self = await readSelf(this.#nodes, this.#tree, object.id);
    if (self?.kind !== "directory") return true;
    const [base, ours] = [await this.#placeOf(directory, "base"), await this.#placeOf(directory, "ours")];
    return [base, ours].some((parent) => parent !== undefined && parent !== self.place?.parent);
  }

  async #findCycles(): Promise<void> {
    const cyclic = new Set<FileId>();
    for (const which of ["base", "ours"] as const) {
      for (const start of this.#moved) {
        for (const directory of await this.#cycleAbove(start, which))
          if (!this.#changed.has(directory) && !isBorn(directory)) cyclic.add(directory);
      }
    }
    this.#cyclic = [...cyclic];
  }

  async #cycleAbove(start: Directory, which: Which): Promise<Directory[]> {
    const path: Directory[] = [];
    for (let at: Directory | undefined = start; at !== undefined; at = await this.#placeOf(at, which)) {
      const before = path.indexOf(at);
      if (before >= 0) return path.slice(before);
      path.push(at);
    }
    return [];
  }

  /** The directory that holds it; undefined for the root, and for what is nowhere. */
  async #placeOf(directory: Directory, which: Which): Promise<Directory | undefined> {
    const object = this.#changed.get(directory);
    const [name] = object?.names ?? [];
    if (name !== undefined && which === "ours") return this.#directoryOf(name.parent);
    // One that the epoch removed stays where it was for what others put into it, or a new one there becomes it.
    if (object !== undefined) return object.baseNames[0]?.parent;
    if (isBorn(directory) || directory === ROOT_ID) return undefined;
    const found = this.#found.get(directory);
    if (found !== undefined) return found.names[0]?.parent;
    const self = await readSelf(this.#nodes, this.#tree, directory);
    return self?.kind === "directory" ? self.place?.parent : undefined;
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
