/** Wraps one door's changing calls: each change is reported to other doors, by name and inode, when committed. */
import type { FileName, Ino } from "../base/ids.ts";
import { type Attributes, type FileSystem, type Invalidations, RENAME_EXCHANGE } from "./filesystem.ts";

export interface Listeners {
  others(changes: Invalidations): void;
  self(changes: Invalidations): void;
  hasOthers(): boolean;
}

type Entry = Invalidations["entries"][number];

/** The changing calls of `fs`, for `overriding`. A failed call reports nothing. */
export function telling(
  fs: FileSystem,
  told: ReportedNames,
  { others, self, hasOthers }: Listeners,
): Partial<FileSystem> {
  let entries: Entry[] = [];
  let inodes = new Set<Ino>();
  const made = (parent: Ino, name: FileName, attributes: Attributes): Attributes => {
    entries.push({ parent, name });
    return attributes;
  };
  const changed = <Result>(ino: Ino, result: Result): Result => {
    inodes.add(ino);
    return result;
  };
  /** What a name leads to before the change; nothing is read if no other door listens. */
  const before = (parent: Ino, name: FileName) => (hasOthers() ? fs.lookup(parent, name) : undefined);
  const left = (parent: Ino, name: FileName, gone: Attributes | undefined): void => {
    if (gone !== undefined) inodes.add(gone.ino);
    entries.push(gone !== undefined && losesLast(gone) ? { parent, name, removed: gone.ino } : { parent, name });
  };
  return {
    setAttributes: (ino, change) => changed(ino, fs.setAttributes(ino, change)),
    makeNode: (parent, name, ...rest) => made(parent, name, fs.makeNode(parent, name, ...rest)),
    makeDirectory: (parent, name, ...rest) => made(parent, name, fs.makeDirectory(parent, name, ...rest)),
    makeSymlink: (parent, name, ...rest) => made(parent, name, fs.makeSymlink(parent, name, ...rest)),
    link: (ino, parent, name) => changed(ino, made(parent, name, fs.link(ino, parent, name))),
    unlink(parent, name) {
      const gone = before(parent, name);
      fs.unlink(parent, name);
      left(parent, name, gone);
    },
    removeDirectory(parent, name) {
      const gone = before(parent, name);
      fs.removeDirectory(parent, name);
      left(parent, name, gone);
    },
    rename(parent, name, newParent, newName, flags, caller) {
      const moved = before(parent, name);
      const replaced = before(newParent, newName);
      fs.rename(parent, name, newParent, newName, flags, caller);
      const isGone = (flags & RENAME_EXCHANGE) === 0 && replaced?.ino !== moved?.ino;
      left(newParent, newName, isGone ? replaced : undefined);
      entries.push({ parent, name });
      for (const each of [moved, replaced]) if (each !== undefined) inodes.add(each.ino);
      // The kernel may not know yet where the name leads now, and would take the moved object for the previous one.
      if (!told.has(parent, name) && !told.has(newParent, newName)) return;
      const names = [
        { parent, name },
        { parent: newParent, name: newName },
      ];
      self({ entries: names, inodes: [], all: false });
    },
    write: (ino, offset, bytes) => changed(ino, fs.write(ino, offset, bytes)),
    allocate: (ino, mode, offset, length) => changed(ino, fs.allocate(ino, mode, offset, length)),
    copyRange: (from, fromOffset, to, ...rest) => changed(to, fs.copyRange(from, fromOffset, to, ...rest)),
    setXattr: (ino, name, value, flags) => changed(ino, fs.setXattr(ino, name, value, flags)),
    removeXattr: (ino, name) => changed(ino, fs.removeXattr(ino, name)),
    persist() {
      fs.persist();
      if (entries.length === 0 && inodes.size === 0) return;
      const changes = { entries, inodes: [...inodes], all: false };
      entries = [];
      inodes = new Set();
      others(changes);
    },
  };
}

/** Names recently reported to a door. */
export class ReportedNames {
  readonly #names = new Set<string>();

  note({ entries }: Invalidations): void {
    for (const { parent, name } of entries) {
      this.#names.delete(keyOf(parent, name));
      this.#names.add(keyOf(parent, name));
    }
    for (const oldest of this.#names) {
      if (this.#names.size <= MAX_TOLD) return;
      this.#names.delete(oldest);
    }
  }

  has(parent: Ino, name: FileName): boolean {
    return this.#names.has(keyOf(parent, name));
  }
}

/** More than any kernel left unprocessed while it sent a rename. */
const MAX_TOLD = 1_024;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

function losesLast({ mode, nlink }: Attributes): boolean {
  return nlink === 1 || (mode & S_IFMT) === S_IFDIR;
}

function keyOf(parent: Ino, name: FileName): string {
  return `${parent}/${name}`;
}
