/**
 * Records a door's objects under temporary names, for a restart: if an agent is killed, only its next run can tell that
 * they are abandoned.
 */
import type { FileName } from "../base/ids.ts";

export interface Unfinished {
  /** The temporary name and those of the folders around it, from the root. */
  readonly path: readonly FileName[];
  /** The name to give back: earlier versions recorded objects that they replaced. Undefined: the object is to be removed. */
  readonly was?: FileName | undefined;
}

/** Stores them across restarts. */
export interface UnfinishedStore {
  load(): readonly Unfinished[];
  /** Replaces the stored list. Throws the disk's errors. */
  save(all: readonly Unfinished[]): void;
}

/** Finished entries that are kept: after a power loss the disk may have old state, so they are checked once more. */
const MAX_ENDED = 64;

/** One entry, for the code that began it. */
export type UnfinishedKey = symbol;

export class UnfinishedWork {
  readonly #store: UnfinishedStore;
  readonly #all = new Map<UnfinishedKey, Unfinished>();
  #ended: readonly Unfinished[] = [];

  constructor(store: UnfinishedStore) {
    this.#store = store;
    for (const left of store.load()) this.#all.set(Symbol("left"), left);
  }

  get all(): [UnfinishedKey, Unfinished][] {
    return [...this.#all];
  }

  /** Call this before the name exists. Throws the disk's errors. */
  begin(work: Unfinished): UnfinishedKey {
    const key = Symbol("begun");
    this.#all.set(key, work);
    try {
      this.#store.save([...this.#all.values(), ...this.#ended]);
    } catch (error) {
      this.#all.delete(key);
      throw error;
    }
    return key;
  }

  /** A folder above it was renamed. */
  moved(from: readonly FileName[], to: readonly FileName[]): void {
    const inside = this.all.filter(([, { path }]) => from.every((name, index) => path[index] === name));
    if (inside.length === 0) return;
    for (const [key, work] of inside) this.#all.set(key, { ...work, path: [...to, ...work.path.slice(from.length)] });
    this.#keep();
  }

  /** The temporary name is gone. */
  end(key: UnfinishedKey): void {
    const work = this.#all.get(key);
    if (work !== undefined) this.#ended = [work, ...this.#ended].slice(0, MAX_ENDED);
    this.#all.delete(key);
  }

  /** These names did not exist when this run began. */
  forget(keys: readonly UnfinishedKey[]): void {
    if (keys.length === 0) return;
    for (const key of keys) this.#all.delete(key);
    this.#keep();
  }

  #keep(): void {
    try {
      this.#store.save([...this.#all.values(), ...this.#ended]);
    } catch {
      // A full disk must not prevent removals: the next save reports it.
    }
  }
}
