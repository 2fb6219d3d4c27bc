/** Files made while a batch is put in place: a file of several names is written once, and its other names are linked to it. */
import type { FileRecord } from "../../format/files/record.ts";
import type { ActedInodes } from "./acted-inodes.ts";
import type { ApplyContext } from "./apply-context.ts";
import { newPath } from "../disk/paths.ts";
import type { Entry } from "../known/entry.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import { hasSameBytes } from "../known/seen.ts";
import { ifThere } from "./if-there.ts";
import { temporaryName, writeIncoming, type Ready } from "./incoming.ts";
import { tryLink } from "./try-link.ts";

export class LateFiles {
  readonly #context: ApplyContext;
  readonly #acted: ActedInodes;
  readonly #made: Ready[] = [];

  constructor(context: ApplyContext, acted: ActedInodes) {
    this.#context = context;
    this.#acted = acted;
  }

  /** A link to a file that has the object's bytes under another name. Undefined if there is none, or no link can be made. */
  async linked(twin: Entry | undefined): Promise<Ready | undefined> {
    const { db, disk, random } = this.#context;
    const from = twin === undefined ? undefined : pathInFolder(db, twin);
    if (from === undefined || twin === undefined) return undefined;
    const path = newPath(temporaryName(random));
    if (!(await tryLink(disk, from, path))) return undefined;
    this.#acted.note(twin);
    const stat = await disk.look(path);
    if (stat === undefined) return undefined;
    const made = this.#note({ path, stat, xattrs: twin.seen.xattrs });
    // A program may have written to it by now.
    return hasSameBytes(twin.seen, stat) ? made : undefined;
  }

  /** `ready`, or a new file where no other name had the bytes after all. */
  async written(record: FileRecord, ready: Ready | undefined): Promise<Ready | undefined> {
    if (ready !== undefined || record.type === "directory") return ready;
    const [made] = await writeIncoming(this.#context, [record]);
    return made && this.#note(made);
  }

  /** Removes those that found no place. */
  async discard(hasPlaced: (ready: Ready) => boolean): Promise<void> {
    const left = this.#made.splice(0).filter((ready) => !hasPlaced(ready));
    for (const { path } of left) await ifThere(this.#context.disk.unlink(path));
  }

  #note(ready: Ready): Ready {
    this.#made.push(ready);
    return ready;
  }
}
