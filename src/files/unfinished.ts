/**
 * What a door has under temporary names, kept where a restart finds it: an agent that is killed leaves it, and nobody but its next run
 * knows that it is not being made any more.
 */
import type { FileName } from "../base/ids.ts";

export interface Unfinished {
  /** The temporary name and those of the folders around it, from the root. */
  readonly path: readonly FileName[];
  /** The name that it had, for as long as it may have to get it back. Undefined: it is to be removed. */
  readonly was: FileName | undefined;
}

/** Where it is kept over a restart. */
export interface UnfinishedStore {
  load(): readonly Unfinished[];
  /** Replaces what is kept. Throws what the disk says. */
  save(all: readonly Unfinished[]): void;
}

/** Of those that came to their end: the disk may hear of that after a power failure only, so they are looked for once more. */
const MAX_ENDED = 64;

/** One of them, for whoever began it. */
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

  /** Before anything has the name. Throws what the disk says. */
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

  /** It does not get its name back, whatever becomes of what has it now. */
  giveUpName(key: UnfinishedKey): void {
    const work = this.#all.get(key);
    if (work?.was === undefined) return;
    this.#all.set(key, { ...work, was: undefined });
    this.#keep();
  }

  /** A folder around it may have another name now. */
  moved(from: readonly FileName[], to: readonly FileName[]): void {
    const inside = this.all.filter(([, { path }]) => from.every((name, index) => path[index] === name));
    if (inside.length === 0) return;
    for (const [key, { path, was }] of inside) this.#all.set(key, { path: [...to, ...path.slice(from.length)], was });
    this.#keep();
  }

  /** Nothing has the name any more. */
  end(key: UnfinishedKey): void {
    const work = this.#all.get(key);
    if (work !== undefined) this.#ended = [work, ...this.#ended].slice(0, MAX_ENDED);
    this.#all.delete(key);
  }

  /** Nothing had the name when this run began. */
  forget(keys: readonly UnfinishedKey[]): void {
    if (keys.length === 0) return;
    for (const key of keys) this.#all.delete(key);
    this.#keep();
  }

  #keep(): void {
    try {
      this.#store.save([...this.#all.values(), ...this.#ended]);
    } catch {
      // A full disk must not keep from removing things: the next save tells it.
    }
  }
}
