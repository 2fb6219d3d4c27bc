/** Entity tags: strong, and made without reading the file. */
import type { Attributes } from "../vfs/filesystem.ts";

/**
 * An inode's number is never used again, and every change of its bytes sets ctime from the clock, which nobody can set; so no two
 * contents that were written through one agent share a tag. A change of properties makes a new one, too.
 */
export function etagOf({ ino, size, mtimeNs, ctimeNs }: Attributes): string {
  return `"${ino.toString(36)}-${size.toString(36)}-${mtimeNs.toString(36)}-${ctimeNs.toString(36)}"`;
}
