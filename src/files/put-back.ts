/** Gives an object under a temporary name a name that people see. */
import type { FileName, Ino } from "../base/ids.ts";
import { RENAME_NOREPLACE } from "../vfs/filesystem.ts";
import type { Access } from "./access.ts";

/** Gives it its former name, or a name beside that one if it is taken. Throws the filesystem's errors. */
export async function putBack(
  access: Access,
  { parent, name }: { readonly parent: Ino; readonly name: FileName },
  was: FileName,
): Promise<FileName> {
  return access.change(undefined, (fs) => {
    for (let count = 0; ; count++) {
      const again = nameAgain(was, count);
      if (fs.lookup(parent, again) !== undefined) continue;
      fs.rename(parent, name, parent, again, RENAME_NOREPLACE);
      return again;
    }
  });
}

function nameAgain(was: FileName, count: number): FileName {
  if (count === 0) return was;
  return (count === 1 ? `${was} (replaced)` : `${was} (replaced ${count})`) as FileName;
}
