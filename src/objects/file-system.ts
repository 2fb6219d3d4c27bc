/** Kinds of file systems, where they are told apart. */
import { statfs } from "node:fs/promises";

/**
 * File systems of this machine, by the kind that statfs(2) tells: linux/magic.h, and OpenZFS's own. Which of them syncfs(2) can be relied on
 * is another question (native/beneath_batch.cc).
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

/** Whether it is of this machine: calls answer at once, and after them it has, or has lost, what was done in that order. */
export function isLocalKind(kind: number | undefined): boolean {
  return kind !== undefined && LOCAL.has(kind);
}

/** Undefined elsewhere than on Linux: these numbers mean something else there. Throws where the folder is not there. */
export async function kindOfFolder(path: string): Promise<number | undefined> {
  return process.platform === "linux" ? (await statfs(path)).type : undefined;
}
