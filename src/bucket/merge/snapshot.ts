/**
 * One of the three trees as the merge sees it: objects by id and by name.
 *
 * A single-link file that never moved has no row under its own id. It is found at a place where another tree has it (the
 * hints), or it came home to its birth place in this tree alone (homecomers.ts).
 */
import type { Cid, FileId } from "../../base/ids.ts";
import { dentryId } from "../../format/rows.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { listDirectory, readDentry, readObject } from "../fs-reader.ts";
import type { TreeObject } from "../fs-reader.ts";
import { placeText } from "../object-rows.ts";
import type { Place } from "../object-rows.ts";

export interface View {
  /** The object, wherever it is now; `hints` are places where it may be. */
  object(id: FileId, hints?: Iterable<Place>): Promise<TreeObject | undefined>;
  /** What a name leads to. */
  at(place: Place): Promise<TreeObject | undefined>;
  /** The entries of a directory, in the order of their names. Nothing if there is no such directory. */
  children(directory: FileId): AsyncIterable<Child>;
}

export interface Child {
  readonly id: FileId;
  readonly place: Place;
  /** Where the entry itself tells all of it: a file with one name. */
  readonly object?: TreeObject;
}

export class Snapshot implements View {
  readonly tree: Cid;
  readonly #nodes: NodeStore;
  readonly #homecomers = new Map<FileId, Place>();

  constructor(nodes: NodeStore, tree: Cid) {
    this.#nodes = nodes;
    this.tree = tree;
  }

  /** Files that are back at their birth places: from now on they are found by id. */
  addHomecomers(places: ReadonlyMap<FileId, Place>): void {
    for (const [id, place] of places) this.#homecomers.set(id, place);
  }

  async object(id: FileId, hints: Iterable<Place> = []): Promise<TreeObject | undefined> {
    const home = this.#homecomers.get(id);
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
}
