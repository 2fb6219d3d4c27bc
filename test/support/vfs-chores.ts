/** What an agent does to a filesystem besides the calls of programs. */
import type { Ino } from "../../src/base/ids.ts";
import type { VfsHarness } from "./vfs-harness.ts";

export const CHORES = ["publish", "seal", "sealAnew", "checkpoint", "forget"] as const;
export type Chore = (typeof CHORES)[number];

export async function doChore(fs: VfsHarness, chore: Chore): Promise<void> {
  switch (chore) {
    case "publish":
      return fs.publish();
    case "seal":
    case "sealAnew":
      return void fs.vfs.seal(chore === "sealAnew");
    case "checkpoint":
      return fs.vfs.checkpoint();
    case "forget":
      return forgetOrphans(fs);
  }
}

/** The kernel no longer refers to objects without a name. */
export function forgetOrphans(fs: VfsHarness): void {
  const orphans: Ino[] = [];
  fs.vfs.watchOrphans((ino) => orphans.push(ino));
  for (const ino of orphans) fs.vfs.forget(ino);
}
