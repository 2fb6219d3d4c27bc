/**
 * The merged tree in the making: a layer of changed objects over the staying side's tree.
 *
 * The merge replays the smaller change on the tree of the larger one. Objects outside the layer are as the staying tree has
 * them, and stay unread. All phases read and change the merged tree through this class.
 */
import type { FileId } from "../../base/ids.ts";
import type { TreeObject } from "../fs-reader.ts";
import { placeText } from "../object-rows.ts";
import type { Place, PlacedObject } from "../object-rows.ts";
import { hasName, isDirectory } from "./objects.ts";
import type { Child, View } from "./snapshot.ts";

/** An object of the layer, in the staying tree and in the merged tree. Undefined: absent. */
export interface Layered {
  /** Without its record: of very many objects, these would fill memory. */
  readonly stay: StayingObject | undefined;
  readonly now: TreeObject | undefined;
}

export interface StayingObject extends PlacedObject {
  readonly subdirs: number;
}

export class MergedTree {
  readonly #staying: View;
  readonly #layer = new Map<FileId, Layered>();
  /** Names of the layer's objects: directory → name → id, or several. */
  readonly #names = new Map<FileId, Map<string, FileId | Set<FileId>>>();

  constructor(staying: View) {
    this.#staying = staying;
  }

  /** Puts an object into the layer: `stay` is the staying tree's object with this id, `now` the merged one. */
  layer(id: FileId, stay: TreeObject | undefined, now: TreeObject | undefined): void {
    this.#set(id, stay && { id: stay.id, type: stay.record.type, names: stay.names, subdirs: stay.subdirs }, now);
  }

  /** Changes an object. For a file outside the layer, `hints` are where the staying tree may have it. */
  async put(id: FileId, now: TreeObject | undefined, hints: Iterable<Place> = []): Promise<void> {
    const layered = this.#layer.get(id);
    if (layered === undefined) this.layer(id, await this.#staying.object(id, hints), now);
    else this.#set(id, layered.stay, now);
  }

  /** The object. For a file outside the layer, `hints` are where it may be. */
  async object(id: FileId, hints: Iterable<Place> = []): Promise<TreeObject | undefined> {
    const layered = this.#layer.get(id);
    return layered === undefined ? this.#staying.object(id, hints) : layered.now;
  }

  async hasDirectory(id: FileId): Promise<boolean> {
    const object = await this.object(id);
    return object !== undefined && isDirectory(object);
  }

  /** All objects with this name: several until clashes are resolved. Adds them to the layer. */
  async at(place: Place): Promise<TreeObject[]> {
    const objects: TreeObject[] = [];
    const ids = new Set(idsOf(this.#names.get(place.parent)?.get(place.name)));
    const staying = await this.#staying.at(place);
    if (staying !== undefined && !this.#layer.has(staying.id)) {
      this.layer(staying.id, staying, staying);
      ids.add(staying.id);
    }
    for (const id of [...ids].sort()) {
      const now = this.#layer.get(id)?.now;
      if (now !== undefined) objects.push(now);
    }
    return objects;
  }

  /** The entries of a directory, in no order. */
  async *children(directory: FileId): AsyncGenerator<Child> {
    for await (const child of this.#staying.children(directory)) if (!this.#layer.has(child.id)) yield child;
    for (const [name, ids] of this.#names.get(directory) ?? [])
      for (const id of idsOf(ids)) yield { id, place: { parent: directory, name: name as Place["name"] } };
  }

  async isEmpty(directory: FileId): Promise<boolean> {
    for await (const _ of this.children(directory)) return false;
    return true;
  }

  /** The place of a directory. Undefined for the root and for missing directories. */
  async placeOf(directory: FileId): Promise<Place | undefined> {
    return (await this.object(directory))?.names[0];
  }

  layered(): IterableIterator<[FileId, Layered]> {
    return this.#layer.entries();
  }

  get(id: FileId): Layered | undefined {
    return this.#layer.get(id);
  }

  /** Places that an object of the layer has only in the merged tree: names can clash only there. */
  newPlaces(): Place[] {
    const places = new Map<string, Place>();
    for (const { stay, now } of this.#layer.values())
      for (const place of now?.names ?? []) if (!hasName(stay, place)) places.set(placeText(place), place);
    return [...places].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, place]) => place);
  }

  #set(id: FileId, stay: StayingObject | undefined, now: TreeObject | undefined): void {
    this.#rename(id, this.#layer.get(id)?.now, now);
    this.#layer.set(id, { stay, now });
  }

  #rename(id: FileId, before: TreeObject | undefined, after: TreeObject | undefined): void {
    for (const { parent, name } of before?.names ?? []) {
      const names = this.#names.get(parent);
      const ids = names?.get(name);
      if (ids === id || (ids instanceof Set && ids.delete(id) && ids.size === 0)) names?.delete(name);
      if (names?.size === 0) this.#names.delete(parent);
    }
    for (const { parent, name } of after?.names ?? []) {
      let names = this.#names.get(parent);
      if (names === undefined) this.#names.set(parent, (names = new Map()));
      const ids = names.get(name);
      // Most names have one, and a set takes 200 bytes.
      if (ids === undefined) names.set(name, id);
      else if (ids instanceof Set) ids.add(id);
      else if (ids !== id) names.set(name, new Set([ids, id]));
    }
  }
}

function idsOf(ids: FileId | ReadonlySet<FileId> | undefined): Iterable<FileId> {
  return ids === undefined ? [] : typeof ids === "string" ? [ids] : ids;
}
