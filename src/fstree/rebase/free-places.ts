/** Places for objects displaced while an epoch is built: under conflict names that are made from their ids. */
import type { Cid, FileId } from "../../base/ids.ts";
import type { FileType } from "../../format/files/record.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { readDentry } from "../fs-reader.ts";
import { directoryNames, unhashedNames } from "../merge/conflict-names.ts";
import { type Place, placeText } from "../object-rows.ts";

/** Each method marks its result as taken. */
export class FreePlaces {
  readonly #nodes: NodeStore;
  readonly #tree: Cid;
  readonly #taken: Set<string>;

  /** `taken`: places as `placeText` writes them. */
  constructor(nodes: NodeStore, tree: Cid, taken: Set<string>) {
    this.#nodes = nodes;
    this.#tree = tree;
    this.#taken = taken;
  }

  /** The place itself if it is not taken, else one beside it. */
  async atOrBeside(place: Place, id: FileId): Promise<Place> {
    return this.#isTaken(place) ? this.beside(place, id) : this.#take(place);
  }

  /** The place itself if it is not taken and empty in the tree, else one beside it. */
  async free(place: Place, id: FileId, type?: FileType): Promise<Place> {
    return (await this.#isFree(place)) ? this.#take(place) : this.beside(place, id, type);
  }

  /** The first place beside this one that is not taken, and empty in the tree, so that nothing is lost. */
  async beside(place: Place, id: FileId, type: FileType = "directory"): Promise<Place> {
    const names = type === "directory" ? directoryNames : unhashedNames;
    for (const name of names(place.name, id)) {
      const beside = { parent: place.parent, name };
      if (await this.#isFree(beside)) return this.#take(beside);
    }
    return place;
  }

  async #isFree(place: Place): Promise<boolean> {
    return !this.#isTaken(place) && (await readDentry(this.#nodes, this.#tree, place)) === undefined;
  }

  #isTaken(place: Place): boolean {
    return this.#taken.has(placeText(place));
  }

  #take(place: Place): Place {
    this.#taken.add(placeText(place));
    return place;
  }
}
