/** Something that has a name already gets another one; what was there steps aside first, and can be removed at leisure. */
import type { FileName, Ino } from "../base/ids.ts";
import { describeError } from "../base/log.ts";
import { type Attributes, type FileSystem, RENAME_NOREPLACE } from "../vfs/filesystem.ts";
import { removeWhole } from "./collections.ts";
import type { Call } from "./call.ts";
import { isFolder, type Place } from "./place.ts";
import { temporaryName } from "./temporary-name.ts";
import type { UnfinishedKey } from "./unfinished.ts";

interface Named {
  readonly parent: Ino;
  readonly name: FileName;
}

interface Aside extends Named {
  readonly was: FileName;
  readonly key: UnfinishedKey;
}

export class Takeover {
  readonly #call: Call;
  #aside: Aside | undefined;

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
      const { unfinished, random } = this.#call;
      const aside = temporaryName(random);
      const key = unfinished.begin({ path: [...target.path.slice(0, -1), aside], was: name });
      try {
        fs.rename(parent, name, parent, aside, RENAME_NOREPLACE);
      } catch (error) {
        unfinished.end(key);
        throw error;
      }
      this.#aside = { parent, name: aside, was: name, key };
    }
    fs.rename(from.parent, from.name, parent, name, RENAME_NOREPLACE);
  }

  /** Makes the change that `run` is part of. Where it fails after all, what stepped aside is put back. */
  async change<Result>(work: (fs: FileSystem) => Result): Promise<Result> {
    try {
      return await this.#call.access.change(undefined, work);
    } catch (error) {
      await this.#undo();
      throw error;
    }
  }

  async #undo(): Promise<void> {
    const { access, unfinished } = this.#call;
    await this.#last("what was to be replaced keeps a temporary name until the door opens again", async (aside) => {
      const { parent, name, was, key } = aside;
      await access.onward().change(undefined, (fs) => fs.rename(parent, name, parent, was, RENAME_NOREPLACE));
      unfinished.end(key);
    });
  }

  /** Removes what stepped aside, once the change is made. Never rejects. */
  async clear(): Promise<void> {
    const { access, clock, unfinished } = this.#call;
    await this.#last("what was replaced keeps a temporary name until the door opens again", async (aside) => {
      unfinished.giveUpName(aside.key);
      await removeWhole({ access: access.onward(), clock }, aside.parent, aside.name);
      unfinished.end(aside.key);
    });
  }

  /** Never rejects: what happened before is what the client is told. */
  async #last(failed: string, work: (aside: Aside) => Promise<void>): Promise<void> {
    const aside = this.#aside;
    this.#aside = undefined;
    if (aside === undefined) return;
    try {
      await work(aside);
    } catch (error) {
      this.#call.log.warn(failed, { name: aside.name, error: describeError(error) });
    }
  }
}
