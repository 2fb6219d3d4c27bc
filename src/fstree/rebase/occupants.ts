/**
 * Objects that a tree holds at former or future places of an epoch's objects, and that the epoch does not know: others made
 * them after those became dirty. The epoch never saw them, so its base must not have them: otherwise building over them
 * would look like deleting them.
 */
import type { Cid, FileId, FileName } from "../../base/ids.ts";
import { dentryId, dentryType } from "../../format/files/rows.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { listDirectory, readDentry, readObject } from "../fs-reader.ts";
import { type Place, placeText, samePlace } from "../object-rows.ts";
import { FreePlaces } from "./free-places.ts";
import type { ObjectState, Transition } from "./transition.ts";

/** The ids of an epoch's own objects and directories, without those that others made. */
export interface OwnIds {
  /** Its objects: these leave by themselves. */
  readonly objects: ReadonlySet<FileId>;
  /** Directories that hold or held its objects. */
  readonly directories: ReadonlySet<FileId>;
  /** Current and former places of its objects, as texts. Rarely asked for. */
  readonly places: () => Set<string>;
}

export class Occupants {
  readonly #nodes: NodeStore;
  readonly #tree: Cid;
  readonly #own: OwnIds;
  #places: FreePlaces | undefined;
  /** Directories known to contain nothing of the epoch, at any depth. */
  readonly #strange = new Set<FileId>();
  readonly #evicted = new Map<FileId, { readonly before: ObjectState; after: ObjectState | undefined }>();

  constructor(nodes: NodeStore, tree: Cid, own: OwnIds) {
    this.#nodes = nodes;
    this.#tree = tree;
    this.#own = own;
  }

  /** The id at this place, from any writer; undefined when the name is free. */
  async idAt(place: Place): Promise<FileId | undefined> {
    const dentry = await readDentry(this.#nodes, this.#tree, place);
    return dentry === undefined ? undefined : dentryId(place.parent, place.name, dentry);
  }

  /** The object that others put at this place; undefined when it is free or the epoch's own. */
  async strangerAt(place: Place): Promise<ObjectState | undefined> {
    const id = await this.idAt(place);
    if (id === undefined || this.#own.objects.has(id)) return undefined;
    const object = await readObject(this.#nodes, this.#tree, id, place);
    return object === undefined ? undefined : { ...object, type: object.record.type };
  }

  /**
   * Removes a stranger's name. A stranger without names is gone, a directory with everything in it: all of that appeared
   * after the epoch's objects became dirty. A directory that contains something of the epoch existed before, somewhere: it
   * moves beside.
   */
  async evict(stranger: ObjectState, place: Place): Promise<void> {
    const isBeside = stranger.type === "directory" && (await this.#holdsOwn(stranger.id));
    const before = this.#evicted.get(stranger.id);
    const known = before ?? { before: stranger, after: stranger };
    const names = (known.after?.names ?? []).filter((name) => !samePlace(name, place));
    if (isBeside) names.push(await this.#beside(place, stranger.id));
    known.after = names.length === 0 ? undefined : { ...known.before, names };
    this.#evicted.set(stranger.id, known);
    if (stranger.type !== "directory" || isBeside || before !== undefined) return;
    for await (const { name } of listDirectory(this.#nodes, this.#tree, stranger.id)) {
      const inside: Place = { parent: stranger.id, name };
      const child = await this.strangerAt(inside);
      if (child !== undefined) await this.evict(child, inside);
    }
  }

  /** Removes what the epoch's writer did not show yet. A directory that contains something of the epoch stays. */
  async evictNotShown(place: Place): Promise<void> {
    const stranger = await this.strangerAt(place);
    if (stranger === undefined || (stranger.type === "directory" && (await this.#holdsOwn(stranger.id)))) return;
    await this.evict(stranger, place);
  }

  /** Whether nothing is left of the object with this id. */
  isGone(id: FileId): boolean {
    const evicted = this.#evicted.get(id);
    return evicted !== undefined && evicted.after === undefined;
  }

  transitions(): Transition[] {
    return [...this.#evicted.values()];
  }

  /** Whether it is one of the epoch's directories, or contains something of the epoch at any depth. */
  async #holdsOwn(directory: FileId): Promise<boolean> {
    // In a damaged bucket, directories may contain one another.
    const seen = new Set([directory]);
    for (const each of seen) {
      if (this.#strange.has(each)) continue;
      if (this.#own.directories.has(each)) return true;
      for await (const { name, dentry } of listDirectory(this.#nodes, this.#tree, each)) {
        const id = dentryId(each, name, dentry);
        if (this.#own.objects.has(id)) return true;
        if (dentryType(dentry) === "directory") seen.add(id);
      }
    }
    for (const each of seen) this.#strange.add(each);
    return false;
  }

  #beside(place: Place, id: FileId): Promise<Place> {
    this.#places ??= new FreePlaces(this.#nodes, this.#tree, this.#own.places());
    return this.#places.beside(place, id);
  }
}

/** The names that differ between two sets of names. */
export function namesAdded(before: readonly Place[], after: readonly Place[]): Place[] {
  const known = new Set(before.map(placeText));
  return after.filter((place) => !known.has(placeText(place)));
}

/** For a deterministic order: by parent, then by name, as their dentries lie in the tree. */
export function comparePlaces(a: Place, b: Place): number {
  return compareText(a.parent, b.parent) || compareText(a.name, b.name);
}

function compareText(a: FileId | FileName, b: FileId | FileName): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
