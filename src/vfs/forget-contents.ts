/** Drops contents that were removed from this machine's cache. */
import type { Cid, FileId, Ino } from "../base/ids.ts";
import type { Objects } from "./objects.ts";

/** Drops blocks from memory. Returns the inodes of these files that are unchanged here: the kernel should drop their pages. */
export function forgetContents(objects: Objects, files: readonly FileId[], blocks: readonly Cid[]): Ino[] {
  const { state } = objects.overlay;
  objects.loader.content.drop(blocks);
  return files.flatMap((id) => {
    const ino = state.inodes.find(id)?.ino;
    return ino === undefined || state.object(ino) !== undefined ? [] : [ino];
  });
}
