/** Names for an object that another one has replaced, or that a killed run left under a temporary name. */
import type { FileName, Ino } from "../base/ids.ts";
import { MAX_NAME_BYTES } from "../base/limits.ts";
import { cutAtCharacter } from "../base/names.ts";
import { type FileSystem, RENAME_NOREPLACE } from "../vfs/filesystem.ts";
import type { Access } from "./access.ts";

/** Gives it its former name, or a name beside that one if it is taken. Throws the filesystem's errors. */
export async function putBack(
  access: Access,
  { parent, name }: { readonly parent: Ino; readonly name: FileName },
  was: FileName,
): Promise<FileName> {
  return access.change(undefined, (fs) => {
    const again = fs.lookup(parent, was) === undefined ? was : nameBeside(fs, parent, was);
    fs.rename(parent, name, parent, again, RENAME_NOREPLACE);
    return again;
  });
}

/** A free name for what another object replaces. Throws BlockMiss. */
export function nameBeside(fs: FileSystem, parent: Ino, was: FileName): FileName {
  for (let count = 1; ; count++) {
    const mark = count === 1 ? " (replaced)" : ` (replaced ${count})`;
    const name = (cutAtCharacter(was, MAX_NAME_BYTES - mark.length) + mark) as FileName;
    if (fs.lookup(parent, name) === undefined) return name;
  }
}
