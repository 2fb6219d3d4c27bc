/** Distinguishes kinds of file systems. */
import { statfs } from "node:fs/promises";

/**
 * Local file systems, by statfs(2) type: linux/magic.h, and OpenZFS's own. Whether syncfs(2) is reliable on them is a
 * separate question (native/beneath_batch.cc).
 */
const KINDS = {
  "ext2 to ext4": 0xef53,
  XFS: 0x58465342,
  Btrfs: 0x9123683e,
  tmpfs: 0x01021994,
  F2FS: 0xf2f52010,
  OpenZFS: 0x2fc12fc1,
};
const LOCAL: ReadonlySet<number> = new Set(Object.values(KINDS));

/** Whether it is local: calls answer at once, and results are kept or lost in the order of the calls. */
export function isLocalKind(kind: number | undefined): boolean {
  return kind !== undefined && LOCAL.has(kind);
}

/** Undefined except on Linux: elsewhere these numbers mean something else. Throws if the folder does not exist. */
export async function kindOfFolder(path: string): Promise<number | undefined> {
  return process.platform === "linux" ? (await statfs(path)).type : undefined;
}
