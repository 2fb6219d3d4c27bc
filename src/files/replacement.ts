/** Atomically replaces a file with a new version. */
import type { FileName, Ino } from "../base/ids.ts";
import type { Attributes, FileSystem } from "../vfs/filesystem.ts";
import type { ResolvedPath } from "./resolved-path.ts";
import type { TakeoverPorts } from "./takeover.ts";
import { TemporaryLink } from "./temporary-link.ts";

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
  readonly #link: TemporaryLink;

  constructor(ports: TakeoverPorts, ino: Ino) {
    this.#ino = ino;
    this.#link = new TemporaryLink(ports, ino);
  }

  run(fs: FileSystem, place: ResolvedPath & { readonly name: FileName }, mtimeNs: bigint | undefined): void {
    const { parent, name, attributes: old } = place;
    if (old !== undefined) inherit(fs, old, this.#ino);
    if (mtimeNs !== undefined) fs.setAttributes(this.#ino, { mtimeNs });
    if (old === undefined && !this.#link.isMade) fs.link(this.#ino, parent, name);
    else this.#link.use(fs, place, (from) => fs.rename(from.parent, from.name, parent, name, 0));
  }

  /** Cancels the replacement. Never rejects. */
  undo(): Promise<void> {
    return this.#link.undo();
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
