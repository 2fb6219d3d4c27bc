/** Something that has a name already gets another one; what was there steps aside first, and can be removed at leisure. */
import type { FileName, Ino } from "../base/ids.ts";
import { type Attributes, type FileSystem, RENAME_NOREPLACE } from "../vfs/filesystem.ts";
import { removeWhole } from "./collections.ts";
import type { Call } from "./call.ts";
import { isFolder, type Place } from "./place.ts";
import { temporaryName } from "./temporary-name.ts";
import type { Unfinished } from "./unfinished.ts";

interface Named {
  readonly parent: Ino;
  readonly name: FileName;
}

export class Takeover {
  readonly #call: Call;
  #aside: (Named & { readonly was: Named }) | undefined;
  #work: Unfinished | undefined;

  constructor(call: Call) {
    this.#call = call;
  }

  /** Whether there was something where it goes now. */
  replaced = false;

  /** To be called again as long as it throws BlockMiss. */
  run(fs: FileSystem, from: Named, moving: Attributes, target: Place & { readonly name: FileName }): void {
    const { parent, name, attributes: old } = target;
    this.replaced ||= old !== undefined;
    if (old !== undefined && !isFolder(old) && !isFolder(moving)) {
      fs.rename(from.parent, from.name, parent, name, 0);
      // Two names of one file: rename(2) leaves both.
      if (old.ino === moving.ino) fs.unlink(from.parent, from.name);
      return;
    }
    if (old !== undefined) {
      const aside = { parent, name: temporaryName(this.#call.random), was: { parent, name } };
      this.#begin({ path: [...target.path.slice(0, -1), aside.name], was: name });
      fs.rename(parent, name, parent, aside.name, RENAME_NOREPLACE);
      this.#aside = aside;
    }
    fs.rename(from.parent, from.name, parent, name, RENAME_NOREPLACE);
  }

  /** It failed after all: what stepped aside is put back. */
  undo(fs: FileSystem): void {
    if (this.#aside !== undefined) {
      const { parent, name, was } = this.#aside;
      fs.rename(parent, name, was.parent, was.name, RENAME_NOREPLACE);
      this.#aside = undefined;
    }
    this.#end();
  }

  /** Removes what stepped aside. */
  async clear(): Promise<void> {
    if (this.#aside === undefined || this.#work === undefined) return;
    const { parent, name } = this.#aside;
    // From here on it is rubbish, whatever becomes of what has its place.
    this.#begin({ ...this.#work, was: undefined });
    await removeWhole(this.#call, parent, name);
    this.#aside = undefined;
    this.#end();
  }

  #begin(work: Unfinished): void {
    const last = this.#work;
    this.#work = this.#call.unfinished.begin(work);
    if (last !== undefined) this.#call.unfinished.end(last);
  }

  #end(): void {
    if (this.#work !== undefined) this.#call.unfinished.end(this.#work);
    this.#work = undefined;
  }
}
