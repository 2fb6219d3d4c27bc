/** Something that has a name already gets another one; what was there steps aside first, and can be removed at leisure. */
import type { FileName, Ino } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import { type Attributes, type FileSystem, RENAME_NOREPLACE } from "../vfs/filesystem.ts";
import { removeTree } from "./collections.ts";
import type { Call } from "./call.ts";
import { isFolder, type Place } from "./place.ts";
import { temporaryName } from "./temporary-name.ts";

interface Named {
  readonly parent: Ino;
  readonly name: FileName;
}

export class Takeover {
  readonly #random: Random;
  #aside: (Named & { readonly old: Attributes; readonly was: Named }) | undefined;

  constructor(random: Random) {
    this.#random = random;
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
      const aside = { parent, name: temporaryName(this.#random), old, was: { parent, name } };
      fs.rename(parent, name, parent, aside.name, RENAME_NOREPLACE);
      this.#aside = aside;
    }
    fs.rename(from.parent, from.name, parent, name, RENAME_NOREPLACE);
  }

  /** It failed after all: what stepped aside is put back. */
  undo(fs: FileSystem): void {
    if (this.#aside === undefined) return;
    const { parent, name, was } = this.#aside;
    fs.rename(parent, name, was.parent, was.name, RENAME_NOREPLACE);
    this.#aside = undefined;
  }

  /** Removes what stepped aside. */
  async clear(call: Call): Promise<void> {
    if (this.#aside === undefined) return;
    const { parent, name, old } = this.#aside;
    if (isFolder(old)) await removeTree(call, parent, name, old.ino);
    else await call.access.change(undefined, (fs) => fs.unlink(parent, name));
    this.#aside = undefined;
  }
}
