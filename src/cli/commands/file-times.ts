/** Sets the mtimes of local files as exactly as this machine can. */
import { lutimes } from "node:fs/promises";
import { unlessSync } from "../../base/unless.ts";
import { type FuseAddon, loadAddon } from "../../fuse/addon.ts";

/**
 * Sets the mtime of a file, or of a symlink itself: with the addon to the nanosecond, keeping the atime. Without it,
 * Node.js takes seconds in a double and truncates to microseconds (libuv, uv__fs_to_timespec).
 */
export async function setModified(path: Buffer, mtimeNs: bigint): Promise<void> {
  addon ??= loadIfThere();
  if (addon === "none") return lutimes(path, Number(mtimeNs) / 1e9, Number(mtimeNs) / 1e9);
  const nanoseconds = ((mtimeNs % NS_PER_S) + NS_PER_S) % NS_PER_S;
  addon.setModified(path.toString("latin1"), Number((mtimeNs - nanoseconds) / NS_PER_S), Number(nanoseconds));
}

let addon: FuseAddon | "none" | undefined;

function loadIfThere(): FuseAddon | "none" {
  return unlessSync("fuse_unavailable", () => loadAddon(), "none");
}

const NS_PER_S = 1_000_000_000n;
