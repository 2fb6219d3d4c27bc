/** How often mappings of a text repeat a key: counted for each path of keys, so that the texts of two sides and their merge can be compared. */

/** Paths of keys as numbers, the same for all texts that are counted with one of these. */
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

/** Path → how many keys too many. Items of a list have the path of the list. */
export type RepeatedKeys = ReadonlyMap<number, number>;

export class KeyCounter {
  readonly repeated = new Map<number, number>();
  readonly #paths: KeyPaths;

  constructor(paths: KeyPaths) {
    this.#paths = paths;
  }

  /** Takes a key of a mapping whose keys so far are `known`; its path. */
  take(known: Set<string>, path: number, key: string): number {
    const inside = this.#paths.step(path, key);
    if (known.has(key)) this.repeated.set(inside, (this.repeated.get(inside) ?? 0) + 1);
    known.add(key);
    return inside;
  }
}

/** Whether `merged` repeats a key more often than each of the texts that it was made of. */
export function repeatsMore(merged: RepeatedKeys, ...sides: readonly RepeatedKeys[]): boolean {
  return [...merged].some(([path, count]) => sides.every((side) => (side.get(path) ?? 0) < count));
}
