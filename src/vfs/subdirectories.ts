/**
 * How many directories a directory holds, for its nlink: 2 more. POSIX leaves that open, btrfs reports 1; GNU find takes 2 for
 * "no subdirectories" only where listings give no types, and ours always do. It is the base's count, minus those that the overlay removed, plus those that it added.
 * No counter is maintained, and no listing is needed.
 *
 * This is right while the base has at each name what it had when the name changed here. Where others changed such names,
 * the base's entry is looked up. Their changes tell which names these are; after a start, or when there are too many
 * changes to list, all names are looked up once.
 */
import type { FileId, FileName, Ino } from "../base/ids.ts";
import { peekDentry, peekSelf } from "../fstree/fs-reader.ts";
import { dentryId, dentryType } from "../format/files/rows.ts";
import type { OverlayState } from "../overlay/state.ts";
import type { NodeStore } from "../tree/node-store.ts";

/** The most changed names of a directory, and changed directories, that are looked up: a call must be short. */
const MOST_LOOKED_AT = 1_024;

export class Subdirectories {
  readonly #state: OverlayState;
  readonly #nodes: NodeStore;
  /** Names at which the base may differ from when they changed here. */
  readonly #contested = new Map<FileId, Set<FileName>>();
  /** Directories whose contested names are all known; undefined: all directories. */
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

  /** For a directory in which the base has `inBase` directories; `id` if the base has it. Throws BlockMiss. */
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

  /** Hidden directories of the base, beyond those whose names changed directories had. */
  #alsoCovered(ino: Ino, id: FileId): number {
    const names = this.#contested.get(id);
    let covered = 0;
    for (const name of names ?? []) {
      const dentry = peekDentry(this.#nodes, this.#state.base.tree, id, name);
      const there = dentry === undefined ? undefined : dentryId(id, name, dentry);
      const isCovered =
        dentry !== undefined && dentryType(dentry) === "directory" && this.#isDecided(ino, id, name, there);
      const hidden = this.#state.hiddenSubdir(id, name);
      // An object still at its name counts as is. Names go once looked up: a search that lacks blocks ends.
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

  /** Whether the overlay hides what the base has at the name. */
  #isDecided(parent: Ino | undefined, parentId: FileId, name: FileName, there: FileId | undefined): boolean {
    if (parent !== undefined && this.#state.entry(parent, name) !== undefined) return true;
    return this.#state.hides(parentId, name) || (there !== undefined && this.#state.dirtyWithId(there) !== undefined);
  }
}
