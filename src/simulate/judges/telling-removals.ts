/** A filesystem that reports each file and symlink whose last name is removed, with its contents. */
import type { FileName, Ino } from "../../base/ids.ts";
import type { FileSystem } from "../../vfs/filesystem.ts";
import { overriding } from "../../vfs/overriding.ts";
import { isFile, lastContents } from "./shown.ts";

export function tellingRemovals(fs: FileSystem, removed: (contents: Buffer, isSymlink: boolean) => void): FileSystem {
  const taking = (parent: Ino, name: FileName, take: () => void) => {
    const lost = lastContents(fs, parent, name);
    const attributes = fs.lookup(parent, name);
    take();
    if (lost !== undefined && attributes !== undefined) removed(lost, !isFile(attributes));
  };
  return overriding(fs, {
    unlink: (parent, name) => taking(parent, name, () => fs.unlink(parent, name)),
    rename: (parent, name, newParent, newName, flags) => {
      const rename = () => fs.rename(parent, name, newParent, newName, flags);
      const isSame = fs.lookup(parent, name)?.ino === fs.lookup(newParent, newName)?.ino;
      if (flags !== 0 || isSame) rename();
      else taking(newParent, newName, rename);
    },
  });
}
