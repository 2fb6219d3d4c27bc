/**
 * How many directories are in a directory: what the base counts there, less those that the overlay took away, and those that it
 * put there. Nothing is kept up to date by hand, and a listing is not needed.
 *
 * Where others changed names under changed objects, what the base has there is looked at: the notes say where. They do not
 * survive a restart, after which such a count may be wrong until the changes are published.
 */
import type { FileId, FileName, Ino } from "../base/ids.ts";
import { peekDentry } from "../bucket/fs-reader.ts";
import { dentryId, dentryType } from "../format/rows.ts";
import type { OverlayState } from "../overlay/state.ts";
import type { NodeStore } from "../tree/node-store.ts";

export class Subdirectories {
  readonly #state: OverlayState;
  readonly #nodes: NodeStore;
  readonly #contested = new Map<FileId, Set<FileName>>();

  constructor(state: OverlayState, nodes: NodeStore) {
    this.#state = state;
    this.#nodes = nodes;
  }

  /** Others changed what a name leads to: `after`, if anything. */
  note(parent: Ino | undefined, parentId: FileId, name: FileName, after: FileId | undefined): void {
    if (!this.#isDecided(parent, parentId, name, after)) return;
    const names = this.#contested.get(parentId);
    if (names === undefined) this.#contested.set(parentId, new Set([name]));
    else names.add(name);
  }

  /** Of a directory in which the base has `inBase` directories; `id` if the base has it. Throws BlockMiss. */
  count(ino: Ino, id: FileId | undefined, inBase: number): number {
    const own = this.#state.subdirs(ino);
    return id === undefined ? own : inBase - this.#state.hiddenSubdirs(id) + own - this.#alsoCovered(ino, id);
  }

  /** Directories of the base that are not shown, beyond those whose names changed objects had. */
  #alsoCovered(ino: Ino, id: FileId): number {
    const names = this.#contested.get(id);
    let covered = 0;
    for (const name of names ?? []) {
      const dentry = peekDentry(this.#nodes, this.#state.base.tree, id, name);
      const there = dentry === undefined ? undefined : dentryId(id, name, dentry);
      if (!this.#isDecided(ino, id, name, there)) names?.delete(name);
      else if (dentry !== undefined && dentryType(dentry) === "directory") covered++;
      if (this.#state.hidesSubdir(id, name)) covered--;
    }
    if (names?.size === 0) this.#contested.delete(id);
    return covered;
  }

  /** Whether what the base has at the name is not shown there. */
  #isDecided(parent: Ino | undefined, parentId: FileId, name: FileName, there: FileId | undefined): boolean {
    if (parent !== undefined && this.#state.entry(parent, name) !== undefined) return true;
    return this.#state.hides(parentId, name) || (there !== undefined && this.#state.dirtyWithId(there) !== undefined);
  }
}
