/** Moves an object to a name that may be taken. The old object is first moved aside, and can be removed later. */
import type { FileName, Ino } from "../base/ids.ts";
import { describeError } from "../base/log.ts";
import type { Ports } from "../base/ports.ts";
import { type Attributes, type FileSystem, type OthersWatch, RENAME_NOREPLACE } from "../vfs/filesystem.ts";
import { putBack } from "./put-back.ts";
import { removeWhole } from "./remove.ts";
import type { Access } from "./access.ts";
import { isFolder, type ResolvedPath } from "./resolved-path.ts";
import { temporaryName } from "./temporary-name.ts";
import type { UnfinishedKey, UnfinishedWork } from "./unfinished.ts";

export interface Named {
  readonly parent: Ino;
  readonly name: FileName;
}

interface Aside extends Named {
  readonly was: FileName;
  readonly key: UnfinishedKey;
}

/** How a takeover reaches the filesystem. */
export interface TakeoverPorts extends Ports {
  readonly access: Access;
  readonly unfinished: UnfinishedWork;
}

export class Takeover {
  readonly #ports: TakeoverPorts;
  #aside: Aside | undefined;
  /** What others change after the old object was moved aside: they saved it before it was replaced. */
  #others: OthersWatch | undefined;

  constructor(ports: TakeoverPorts) {
    this.#ports = ports;
  }

  /** Whether the target name was taken. */
  replaced = false;

  /** Call it again while it throws BlockMiss. */
  run(fs: FileSystem, from: Named, moving: Attributes, target: ResolvedPath & { readonly name: FileName }): void {
    const { parent, name, attributes: old } = target;
    this.replaced ||= old !== undefined;
    if (old !== undefined && !isFolder(old) && !isFolder(moving)) {
      fs.rename(from.parent, from.name, parent, name, 0);
      // Two names of one file: rename(2) keeps both.
      if (old.ino === moving.ino) fs.unlink(from.parent, from.name);
      return;
    }
    if (old !== undefined) {
      const { unfinished, random } = this.#ports;
      const aside = temporaryName(random);
      const key = unfinished.begin({ path: [...target.path.slice(0, -1), aside], was: name });
      try {
        fs.rename(parent, name, parent, aside, RENAME_NOREPLACE);
        this.#others = fs.watchOthers?.();
      } catch (error) {
        unfinished.end(key);
        throw error;
      }
      this.#aside = { parent, name: aside, was: name, key };
    }
    fs.rename(from.parent, from.name, parent, name, RENAME_NOREPLACE);
  }

  /** Makes the change that `run` is part of. If it fails, the object that was moved aside gets its name back. */
  async change<Result>(work: (fs: FileSystem) => Result): Promise<Result> {
    try {
      return await this.#ports.access.change(undefined, work);
    } catch (error) {
      await this.#undo();
      throw error;
    }
  }

  async #undo(): Promise<void> {
    const { access, unfinished } = this.#ports;
    await this.#last(
      "an object whose replacement failed keeps a temporary name until the door reopens",
      async (aside) => {
        const { parent, name, was, key } = aside;
        await access.onward().change(undefined, (fs) => fs.rename(parent, name, parent, was, RENAME_NOREPLACE));
        unfinished.end(key);
      },
    );
  }

  /**
   * Removes the object that was moved aside, once the change is made. What others changed in it meanwhile is kept beside
   * its former name. Never rejects.
   */
  async clear(): Promise<void> {
    const { clock, unfinished } = this.#ports;
    const access = this.#ports.access.onward();
    await this.#last("a replaced object keeps a temporary name until the door reopens", async (aside, others) => {
      unfinished.giveUpName(aside.key, others?.root);
      const isGone = await removeWhole({ access, clock }, aside.parent, aside.name, others);
      if (!isGone) await putBack(access, aside, aside.was);
      unfinished.end(aside.key);
    });
  }

  /** Never rejects: the client gets the result of the change itself. */
  async #last(failed: string, work: (aside: Aside, others: OthersWatch | undefined) => Promise<void>): Promise<void> {
    const aside = this.#aside;
    using others = this.#others;
    this.#aside = undefined;
    this.#others = undefined;
    if (aside === undefined) return;
    try {
      await work(aside, others);
    } catch (error) {
      this.#ports.log.warn(failed, { name: aside.name, error: describeError(error) });
    }
  }
}
