/**
 * One of the three trees as the merge sees it: objects by id and by name.
 *
 * A single-link file that never moved has no row under its own id. It is found at a place where another tree has it (the
 * hints), or as a file that moved back to its birth place in this tree alone (moved-back.ts).
 */
import { BoundedMap } from "../../base/bounded-map.ts";
import { compareBytes } from "../../base/bytes.ts";
import type { Cid, FileId } from "../../base/ids.ts";
import { BlockMiss } from "../../blocks/block-store.ts";
import { dentryKey, selfKey } from "../../format/files/keys.ts";
import { dentryId } from "../../format/files/rows.ts";
import { preload } from "../../tree/edit.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { listDirectory, peekDirectoryObject, readDentry, readObject } from "../fs-reader.ts";
import type { TreeObject } from "../fs-reader.ts";
import { placeText } from "../object-rows.ts";
import type { Place } from "../object-rows.ts";

export interface View {
  /** The object, wherever it is now; `hints` are places where it may be. */
  object(id: FileId, hints?: Iterable<Place>): Promise<TreeObject | undefined>;
  /** The directory as `object` returned it, if that was asked for before and is still remembered. Synchronous. */
  remembered(directory: FileId): TreeObject | undefined;
  /** What a name leads to. */
  at(place: Place): Promise<TreeObject | undefined>;
  /** The entries of a directory, in the order of their names. Nothing if there is no such directory. */
  children(directory: FileId): AsyncIterable<Child>;
}

export interface Child {
  readonly id: FileId;
  readonly place: Place;
  /** Set where the entry itself tells everything: a file with one name. */
  readonly object?: TreeObject;
}

export interface Wanted {
  readonly places?: readonly Place[];
  readonly directories?: Iterable<FileId>;
  readonly objects?: readonly FileId[];
}

/** How many directories are remembered, some 500 bytes each. */
const DIRECTORIES_KEPT = 8_192;

export class Snapshot implements View {
  readonly tree: Cid;
  readonly #nodes: NodeStore;
  readonly #movedBack = new Map<FileId, Place>();
  readonly #directories = new BoundedMap<FileId, TreeObject>(DIRECTORIES_KEPT);

  constructor(nodes: NodeStore, tree: Cid) {
    this.#nodes = nodes;
    this.tree = tree;
  }

  /** Files that moved back to their birth places: from now on they are found by id. */
  addMovedBack(places: ReadonlyMap<FileId, Place>): void {
    for (const [id, place] of places) this.#movedBack.set(id, place);
  }

  /**
   * Reads ahead the rows at these places, of these directories, and under these objects' ids: one request per level of the
   * tree. Remembers the directories, since every phase asks for them.
   */
  async load(wanted: Wanted): Promise<void> {
    const { places = [], directories = [], objects = [] } = wanted;
    const unknown = [...directories].filter((id) => this.#directories.get(id) === undefined);
    const keys = [
      ...places.map(({ parent, name }) => dentryKey(parent, name)),
      ...[...unknown, ...objects].map(selfKey),
    ];
    keys.sort(compareBytes);
    for (let from = 0; from < keys.length; from += this.#nodes.batch)
      await preload(this.#nodes, this.tree, keys.slice(from, from + this.#nodes.batch));
    for (const id of unknown) if (!this.#isInMemory(id)) await this.object(id);
  }

  remembered(directory: FileId): TreeObject | undefined {
    return this.#directories.get(directory);
  }

  async object(id: FileId, hints: Iterable<Place> = []): Promise<TreeObject | undefined> {
    const directory = this.#directories.get(id);
    if (directory !== undefined) return directory;
    const found = await this.#find(id, hints);
    if (found?.record.type === "directory") this.#directories.set(id, found);
    return found;
  }

  async at(place: Place): Promise<TreeObject | undefined> {
    const dentry = await readDentry(this.#nodes, this.tree, place);
    if (dentry === undefined) return undefined;
    const id = dentryId(place.parent, place.name, dentry);
    if (dentry.kind === "record") return { id, record: dentry.record, names: [place], subdirs: 0 };
    return readObject(this.#nodes, this.tree, id);
  }

  async *children(directory: FileId): AsyncGenerator<Child> {
    for await (const { name, dentry } of listDirectory(this.#nodes, this.tree, directory)) {
      const [id, place] = [dentryId(directory, name, dentry), { parent: directory, name }];
      if (dentry.kind === "reference") yield { id, place };
      else yield { id, place, object: { id, record: dentry.record, names: [place], subdirs: 0 } };
    }
  }

  /** Whether this is a directory whose row is in memory; if so, it is remembered. */
  #isInMemory(id: FileId): boolean {
    if (this.#movedBack.has(id)) return false;
    try {
      const found = peekDirectoryObject(this.#nodes, this.tree, id);
      if (found !== undefined) this.#directories.set(id, found);
      return found !== undefined;
    } catch (error) {
      if (error instanceof BlockMiss) return false;
      throw error;
    }
  }

  async #find(id: FileId, hints: Iterable<Place>): Promise<TreeObject | undefined> {
    const home = this.#movedBack.get(id);
    const tried = new Set<string>();
    for (const place of home === undefined ? hints : [home, ...hints]) {
      if (tried.has(placeText(place))) continue;
      tried.add(placeText(place));
      const dentry = await readDentry(this.#nodes, this.tree, place);
      if (dentry === undefined || dentryId(place.parent, place.name, dentry) !== id) continue;
      if (dentry.kind === "record") return { id, record: dentry.record, names: [place], subdirs: 0 };
      break;
    }
    return readObject(this.#nodes, this.tree, id);
  }
}
