/**
 * Moves an object to a name that may be taken. The old object is first renamed to `NAME (replaced)`, and then removed in
 * steps. Others may save something in it until they hear that it is gone, and a merge then brings it back, under the name
 * that they knew. So that name must be one that people see.
 */
import type { FileName, Ino } from "../base/ids.ts";
import { describeError } from "../base/log.ts";
import type { Ports } from "../base/ports.ts";
import { type Attributes, type FileSystem, type OthersWatch, RENAME_NOREPLACE } from "../vfs/filesystem.ts";
import { nameBeside } from "./put-back.ts";
import { removeWhole } from "./remove.ts";
import type { Access } from "./access.ts";
import { isFolder, type ResolvedPath } from "./resolved-path.ts";
import type { UnfinishedWork } from "./unfinished.ts";

export interface Named {
  readonly parent: Ino;
  readonly name: FileName;
}

interface Aside extends Named {
  readonly was: FileName;
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
    if (old === undefined) return fs.rename(from.parent, from.name, parent, name, RENAME_NOREPLACE);
    const aside = { parent, name: nameBeside(fs, parent, name), was: name };
    fs.rename(parent, name, parent, aside.name, RENAME_NOREPLACE);
    this.#aside = aside;
    this.#others = fs.watchOthers?.();
    try {
      fs.rename(from.parent, from.name, parent, name, RENAME_NOREPLACE);
    } catch (error) {
      this.#restore(fs, aside);
      throw error;
    }
  }

  #restore(fs: FileSystem, { parent, name, was }: Aside): void {
    fs.rename(parent, name, parent, was, RENAME_NOREPLACE);
    this.#others?.[Symbol.dispose]();
    this.#aside = undefined;
    this.#others = undefined;
  }

  /** Makes the change that `run` is part of. If it fails, the object that was moved aside gets its name back. */
  async change<Result>(work: (fs: FileSystem) => Result): Promise<Result> {
    try {
      return await this.#ports.access.change(undefined, work);
    } catch (error) {
      const access = this.#ports.access.onward();
      await this.#last("an object whose replacement failed could not get its name back", (aside) =>
        access.change(undefined, (fs) =>
          fs.rename(aside.parent, aside.name, aside.parent, aside.was, RENAME_NOREPLACE),
        ),
      );
      throw error;
    }
  }

  /** Removes the object that was moved aside, once the change is made, except what others changed in it. Never rejects. */
  async clear(): Promise<void> {
    const { clock, log } = this.#ports;
    const access = this.#ports.access.onward();
    await this.#last("an object that was replaced could not be removed", async ({ parent, name }, others) => {
      const isGone = await removeWhole({ access, clock }, parent, name, others);
      if (!isGone) log.info("others changed an object while it was replaced, so it is kept", { name });
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
