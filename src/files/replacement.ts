/** Atomically replaces a file with a new version. */
import type { FileName, Ino } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import type { Attributes, FileSystem } from "../vfs/filesystem.ts";
import type { Place } from "./place.ts";
import { temporaryName } from "./temporary-name.ts";

/** Set-id bits apply only to the bytes they were set for. */
const KEPT_BITS = 0o1777;

/**
 * Gives the complete, unnamed file `ino` the name of `place`. Call it again while it throws BlockMiss.
 *
 * It replaces the old file by a rename, as editors do: the publisher then takes the new file for the next version of the
 * old one (docs/design/merge.md, Identity), so history and merges see an edit. Mode, owner and attributes are the old
 * one's.
 */
export class Replacement {
  readonly #ino: Ino;
  readonly #random: Random;
  #temporary: { readonly parent: Ino; readonly name: FileName } | undefined;

  constructor(ino: Ino, random: Random) {
    this.#ino = ino;
    this.#random = random;
  }

  run(fs: FileSystem, place: Place & { readonly name: FileName }, mtimeNs: bigint | undefined): void {
    const { parent, name, attributes: old } = place;
    if (old !== undefined) inherit(fs, old, this.#ino);
    if (mtimeNs !== undefined) fs.setAttributes(this.#ino, { mtimeNs });
    if (old === undefined && this.#temporary === undefined) {
      fs.link(this.#ino, parent, name);
      return;
    }
    if (this.#temporary === undefined) {
      const temporary = { parent, name: temporaryName(this.#random) };
      fs.link(this.#ino, parent, temporary.name);
      this.#temporary = temporary;
    }
    fs.rename(this.#temporary.parent, this.#temporary.name, parent, name, 0);
    this.#temporary = undefined;
  }

  /** Cancels the replacement. */
  undo(fs: FileSystem): void {
    if (this.#temporary !== undefined) fs.unlink(this.#temporary.parent, this.#temporary.name);
    this.#temporary = undefined;
  }
}

function inherit(fs: FileSystem, old: Attributes, ino: Ino): void {
  fs.setAttributes(ino, { mode: old.mode & KEPT_BITS, uid: old.uid, gid: old.gid });
  copyXattrs(fs, old.ino, ino);
  // Removes what the new file inherited from its directory.
  const kept = new Set(fs.listXattrs(old.ino));
  for (const name of fs.listXattrs(ino)) if (!kept.has(name)) fs.removeXattr(ino, name);
}

/** Copies all attributes except those that apply only to the old bytes. */
export function copyXattrs(fs: FileSystem, from: Ino, to: Ino): void {
  for (const name of fs.listXattrs(from)) {
    const value = name.startsWith("security.") ? undefined : fs.getXattr(from, name);
    if (value !== undefined) fs.setXattr(to, name, value, 0);
  }
}
