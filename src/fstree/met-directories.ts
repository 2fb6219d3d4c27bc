/** The directories that a walk has met. A faulty writer may have made one that lies in itself, or that has several names. */
import type { FileId } from "../base/ids.ts";
import { liesInItself } from "./fs-reader.ts";

export class MetDirectories {
  /** Each under the directory that it was met in first. */
  readonly #parents = new Map<FileId, FileId | undefined>();

  constructor(first: FileId) {
    this.#parents.set(first, undefined);
  }

  has(directory: FileId): boolean {
    return this.#parents.has(directory);
  }

  /** Whether it is new. Throws `format_invalid` if it was met on the way to `parent`: the walk would never end. */
  meet(directory: FileId, parent: FileId): boolean {
    if (!this.#parents.has(directory)) {
      this.#parents.set(directory, parent);
      return true;
    }
    for (let at: FileId | undefined = parent; at !== undefined; at = this.#parents.get(at))
      if (at === directory) throw liesInItself();
    return false;
  }
}
