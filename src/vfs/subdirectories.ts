/**
 * How many directories are in a directory: what the base counts there, less those that the overlay took away, and those that it
 * put there. Nothing is kept up to date by hand, and no listing is needed.
 *
 * That is right as long as the base has at each name what it had when the name changed here. Where others changed names under
 * changed objects, what the base has there is looked at. Which names these are is told by their changes; after a start, and when
 * there are too many changes to list, all names are looked at once.
 */
import type { FileId, FileName, Ino } from "../base/ids.ts";
import { peekDentry, peekSelf } from "../fstree/fs-reader.ts";
import { dentryId, dentryType } from "../format/files/rows.ts";
import type { OverlayState } from "../overlay/state.ts";
import type { NodeStore } from "../tree/node-store.ts";

/** Of directories with more changed names, and of more changed directories, not all are looked at: a call must not take long. */
const MOST_LOOKED_AT = 1_024;

export class Subdirectories {
  readonly #state: OverlayState;
  readonly #nodes: NodeStore;
  /** Names at which the base may have something else than when they changed here. */
  readonly #contested = new Map<FileId, Set<FileName>>();
  /** Directories of which all such names are known; undefined: of all. */
  #known: Set<FileId> | undefined;
  /** Changed directories that others may have moved. */
  #unplaced: Ino[] = [];

  constructor(state: OverlayState, nodes: NodeStore) {
    this.#state = state;
    this.#nodes = nodes;
    this.noteAll();
  }

  /** Others changed what a name leads to: `after`, if anything. */
  note(parent: Ino | undefined, parentId: FileId, name: FileName, after: FileId | undefined): void {
    if (this.#isDecided(parent, parentId, name, after)) this.#contest(parentId, name);
  }

  /** Others may have changed anything. */
  noteAll(): void {
    const directories = [...this.#state.objects()].filter(({ type, id }) => type === "directory" && id !== undefined);
    this.#unplaced = directories.slice(0, MOST_LOOKED_AT).map(({ ino }) => ino);
    this.#known = this.#state.publishable === 0 ? undefined : new Set();
  }

  /** Of a directory in which the base has `inBase` directories; `id` if the base has it. Throws BlockMiss. */
  count(ino: Ino, id: FileId | undefined, inBase: number): number {
    const own = this.#state.subdirs(ino);
    if (id === undefined) return own;
    if (this.#state.publishable === 0) {
      this.#contested.clear();
      this.#known = undefined;
      return inBase;
    }
    this.#look(ino, id);
    return inBase - this.#state.hiddenSubdirs(id) + own - this.#alsoCovered(ino, id);
  }

  #look(ino: Ino, id: FileId): void {
    if (this.#known === undefined) return;
    for (let at = this.#unplaced.at(-1); at !== undefined; at = this.#unplaced.at(-1)) {
      const moved = this.#state.object(at);
      const self = moved?.id === undefined ? undefined : peekSelf(this.#nodes, this.#state.base.tree, moved.id);
      if (self?.kind === "directory" && self.place !== undefined) this.#contest(self.place.parent, self.place.name);
      this.#unplaced.pop();
    }
    if (this.#known.has(id)) return;
    const [entries, hidden] = [this.#state.entries(ino), this.#state.hiddenNames(id)];
    const count = (entries?.size ?? 0) + (hidden?.size ?? 0);
    if (count === 0) return;
    this.#known.add(id);
    if (count > MOST_LOOKED_AT) return;
    for (const names of [entries, hidden]) for (const name of names?.keys() ?? []) this.#contest(id, name);
  }

  /** Directories of the base that are not shown, beyond those whose names changed directories had. */
  #alsoCovered(ino: Ino, id: FileId): number {
    const names = this.#contested.get(id);
    let covered = 0;
    for (const name of names ?? []) {
      const dentry = peekDentry(this.#nodes, this.#state.base.tree, id, name);
      const there = dentry === undefined ? undefined : dentryId(id, name, dentry);
      const isCovered =
        dentry !== undefined && dentryType(dentry) === "directory" && this.#isDecided(ino, id, name, there);
      const hidden = this.#state.hiddenSubdir(id, name);
      // Whose the name was has it still: that counts as it is. Names go as they are looked at, so that a search that lacks blocks ends.
      if (isCovered ? hidden !== undefined && hidden === there : hidden === undefined) names?.delete(name);
      covered += (isCovered ? 1 : 0) - (hidden === undefined ? 0 : 1);
    }
    if (names?.size === 0) this.#contested.delete(id);
    return covered;
  }

  #contest(parent: FileId, name: FileName): void {
    const names = this.#contested.get(parent);
    if (names === undefined) this.#contested.set(parent, new Set([name]));
    else names.add(name);
  }

  /** Whether what the base has at the name is not shown there. */
  #isDecided(parent: Ino | undefined, parentId: FileId, name: FileName, there: FileId | undefined): boolean {
    if (parent !== undefined && this.#state.entry(parent, name) !== undefined) return true;
    return this.#state.hides(parentId, name) || (there !== undefined && this.#state.dirtyWithId(there) !== undefined);
  }
}
