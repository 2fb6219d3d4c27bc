/** Counts repeated keys in the mappings of a text, per path of keys, to compare two sides' texts with their merge. */

/** Numbers paths of keys; equal paths get one number in all texts that are counted with one instance. */
export class KeyPaths {
  readonly #numbers = new Map<string, number>();

  /** The path of `key` in the mapping at `path`; 0 is the document's. */
  step(path: number, key: string): number {
    const text = `${path} ${key}`;
    const number = this.#numbers.get(text) ?? this.#numbers.size + 1;
    this.#numbers.set(text, number);
    return number;
  }
}

/** Path → the number of surplus keys. Items of a list have the list's path. */
export type RepeatedKeys = ReadonlyMap<number, number>;

export class KeyCounter {
  readonly repeated = new Map<number, number>();
  readonly #paths: KeyPaths;

  constructor(paths: KeyPaths) {
    this.#paths = paths;
  }

  /** Counts a key of a mapping whose keys so far are `known`; returns its path. */
  take(known: Set<string>, path: number, key: string): number {
    const inside = this.#paths.step(path, key);
    if (known.has(key)) this.repeated.set(inside, (this.repeated.get(inside) ?? 0) + 1);
    known.add(key);
    return inside;
  }
}

/** Whether `merged` repeats a key more often than each of its source texts. */
export function repeatsMore(merged: RepeatedKeys, ...sides: readonly RepeatedKeys[]): boolean {
  return [...merged].some(([path, count]) => sides.every((side) => (side.get(path) ?? 0) < count));
}
