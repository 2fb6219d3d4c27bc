/** Sets of names by directory, of which most directories have none. */
import type { FileName } from "../base/ids.ts";

export class NameSets<Directory> {
  readonly #names = new Map<Directory, Set<FileName>>();

  count(directory: Directory): number {
    return this.#names.get(directory)?.size ?? 0;
  }

  has(directory: Directory, name: FileName): boolean {
    return this.#names.get(directory)?.has(name) === true;
  }

  /** Adds the name to the set, or removes it. */
  put(directory: Directory, name: FileName, isIn: boolean): void {
    const names = this.#names.get(directory);
    if (isIn && names === undefined) this.#names.set(directory, new Set([name]));
    else if (isIn) names?.add(name);
    else if (names?.delete(name) === true && names.size === 0) this.#names.delete(directory);
  }
}
