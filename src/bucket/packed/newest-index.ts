/** The placement index of the newest root seen. Only moves forward, so that an old root put back hides nothing. */
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Root } from "../../roots/root-store.ts";
import type { CommitObject, PackDirectory } from "./pack-directory.ts";
import { PlacementIndex } from "./placement-index.ts";

export class NewestIndex {
  readonly #directory: PackDirectory;
  readonly #readRoot: () => Promise<Root | undefined>;
  #root: Root | undefined;
  #index: PlacementIndex | undefined;
  #reloading: Promise<PlacementIndex> | undefined;

  constructor(directory: PackDirectory, readRoot: () => Promise<Root | undefined>) {
    this.#directory = directory;
    this.#readRoot = readRoot;
  }

  /** Notes a root that was read. */
  note(root: Root): void {
    if (this.#root === undefined || root.version > this.#root.version) this.#root = root;
  }

  /** Notes a root that was swapped in here: the newest, whatever its number (an old root may have been put back). */
  adopt(root: Root, object: CommitObject): void {
    this.#directory.addCommitObject(object, root.version);
    this.#root = root;
    // Immediately: a process that only publishes never asks for the index, and would remember every commit object.
    this.#replace(object);
  }

  /** Forgets the root's index, but not which root it is. */
  clear(): void {
    this.#index = undefined;
  }

  /** The index of the newest root seen; reads the root if none was. Throws `store_unreachable`, also without a root. */
  async get(): Promise<PlacementIndex> {
    if (this.#root === undefined) return this.reload();
    try {
      return await this.#load(this.#root);
    } catch (cause) {
      if (!hasCode(cause, "object_not_found")) throw cause;
      return this.reload();
    }
  }

  /** The index of the store's root now, even an older one. Concurrent calls share one read. */
  reload(): Promise<PlacementIndex> {
    this.#reloading ??= this.#reload().finally(() => (this.#reloading = undefined));
    return this.#reloading;
  }

  async #reload(): Promise<PlacementIndex> {
    const root = await this.#reachRoot();
    this.note(root);
    try {
      return await this.#load(root);
    } catch (cause) {
      if (!hasCode(cause, "object_not_found")) throw cause;
      throw new SynclineError("store_corrupt", `The commit object of root ${root.commit} is missing.`, {
        hint: "Run `syncline verify --repair` on the bucket.",
        cause,
      });
    }
  }

  /** Reports a missing root, or an unreachable arbiter, as an unreachable store: callers read a known bucket's blocks. */
  async #reachRoot(): Promise<Root> {
    try {
      const root = await this.#readRoot();
      if (root !== undefined) return root;
      throw new SynclineError("store_unreachable", "The bucket has no root.", {
        hint: "If it is on a disk, check that it is mounted. Then run `syncline verify --repair` on the bucket.",
      });
    } catch (cause) {
      if (!hasCode(cause, "arbiter_unreachable")) throw cause;
      throw new SynclineError("store_unreachable", cause.message, { hint: cause.hint, cause });
    }
  }

  async #load(root: Root): Promise<PlacementIndex> {
    const object = await this.#directory.commitObject(root.commit, root.version);
    if (this.#index?.object === object) return this.#index;
    return root.commit === this.#root?.commit ? this.#replace(object) : new PlacementIndex(this.#directory, object);
  }

  /** Makes this commit object's index the newest; remembers only the previous one besides. */
  #replace(object: CommitObject): PlacementIndex {
    const previous = this.#index;
    this.#index = new PlacementIndex(this.#directory, object);
    this.#directory.keepOnly(previous === undefined ? [object] : [object, previous.object]);
    return this.#index;
  }
}
