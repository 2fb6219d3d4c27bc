/** Removes a name, and a folder with everything in it: in steps, so that other calls get their turn. */
import type { Clock } from "../base/clock.ts";
import { ERRNO } from "../base/errno.ts";
import type { FileName, Ino } from "../base/ids.ts";
import { TimeSlice } from "../base/time-slice.ts";
import { type FileSystem, FsError } from "../vfs/filesystem.ts";
import type { Access } from "./access.ts";
import { isFolder } from "./place.ts";

export interface RemovePorts {
  readonly access: Access;
  readonly clock: Clock;
}

/** Removes the name, if it exists: a folder with everything in it. Throws the filesystem's errors. */
export async function removeWhole(ports: RemovePorts, parent: Ino, name: FileName): Promise<void> {
  const there = await ports.access.run((fs) => fs.lookup(parent, name));
  if (there === undefined) return;
  if (isFolder(there)) await removeTree(ports, parent, name, there.ino);
  else await ports.access.change(undefined, (fs) => fs.unlink(parent, name));
}

/** Removes a folder and everything in it, including what is not shown. Throws the filesystem's errors. */
export async function removeTree(
  { access, clock }: RemovePorts,
  parent: Ino,
  name: FileName,
  folder: Ino,
): Promise<void> {
  const pace = new TimeSlice(clock, SLICE_MS);
  const work: { readonly parent: Ino; readonly name: FileName; readonly ino: Ino }[] = [{ parent, name, ino: folder }];
  for (let rounds = 0; ;) {
    const at = work.at(-1);
    if (at === undefined) return;
    const folders = await access.change(undefined, (fs) => removeFiles(fs, at.ino));
    for (const child of folders) work.push({ parent: at.ino, ...child });
    if (folders.length === 0) {
      const isGone = await access.change(undefined, (fs) => {
        try {
          fs.removeDirectory(at.parent, at.name);
          return true;
        } catch (error) {
          // It was removed or refilled meanwhile.
          if (error instanceof FsError && error.errno === ERRNO.ENOENT) return true;
          if (error instanceof FsError && error.errno === ERRNO.ENOTEMPTY && rounds++ < MAX_REFILLS) return false;
          throw error;
        }
      });
      if (isGone) work.pop();
    }
    await pace.breathe();
  }
}

/** How long a step may delay other calls. */
const SLICE_MS = 4;
/** How often a folder may be refilled while it is removed. */
const MAX_REFILLS = 1_000;
/** Files removed in one step. */
const STEP = 256;

/** Removes some of its files. Returns its folders once no files are left. */
function removeFiles(fs: FileSystem, ino: Ino) {
  const files: FileName[] = [];
  const folders: { readonly name: FileName; readonly ino: Ino }[] = [];
  fs.readDirectory(ino, 0, false, (entry) => {
    if (entry.name === "." || entry.name === "..") return true;
    if (isFolder(entry)) folders.push({ name: entry.name, ino: entry.ino });
    else files.push(entry.name);
    return files.length < STEP && folders.length < STEP;
  });
  for (const name of files) fs.unlink(ino, name);
  return folders;
}
