/** Finds the real path of the folder to sync, and checks what it must not lie in or sync. */
import { statSync } from "node:fs";
import { relative, sep } from "node:path";
import { canonicalFolder, stateRoot } from "../../agent/state/state-dir.ts";
import { SynclineError } from "../../base/errors.ts";
import { nameFromText } from "../../base/names.ts";
import { parseAddress } from "../../bucket/address.ts";
import { MOUNT_TYPE, type MountedAt, readMountTable } from "../../fuse/mount-table.ts";
import type { DiskPath } from "../../sync/disk/disk.ts";
import type { Call } from "../command.ts";
import { configFolder } from "../config-file.ts";
import { requireKnownBytes } from "../given-path.ts";
import { passphrasePathOf } from "../key-file.ts";
import { printText } from "../terminal/text.ts";
import { keyPathOf } from "../wallet.ts";

/**
 * The folder as its state names it: with links resolved, so that it has one state under any name. Throws `usage` if it
 * would sync itself: it contains the bucket, or is in the bucket's or the agent's folder or a mount of the bucket;
 * `not_a_directory`.
 */
export async function syncedFolder({ runtime, options }: Call, address: string, directory: string): Promise<string> {
  const folder = canonicalFolder(directory);
  requireKnownBytes(folder);
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === false) {
    throw new SynclineError("not_a_directory", `${printText(folder)} is not a folder.`, {
      hint: "Name a folder to sync. A missing folder is created.",
    });
  }
  for (const own of [stateRoot(runtime.env, options.state), configFolder(runtime.env)].map(canonicalFolder))
    if (isIn(folder, own)) throw refused(folder, `is in the agent's own folder ${printText(own)}`);
  const bucket = parseAddress(address);
  if (bucket.scheme === "file") {
    const own = canonicalFolder(bucket.path);
    if (own !== folder && isIn(own, folder))
      throw refused(folder, `contains the bucket's own folder ${printText(own)}`);
    if (isIn(folder, own)) throw refused(folder, `is in the bucket's own folder ${printText(own)}`);
  }
  const mount = (await mounts()).findLast(({ mountPoint }) => isIn(folder, mountPoint));
  if (mount?.type === MOUNT_TYPE && isSameBucket(mount.source, bucket.url))
    throw refused(folder, `is in a mount of the bucket, ${printText(mount.mountPoint)}`);
  return folder;
}

/** Paths that are never synced: keys, and agents' states, which change with every sync. */
export function hiddenIn(folder: string, call: Call<"key" | "passphraseFile">): readonly DiskPath[] {
  const { env } = call.runtime;
  const key = keyPathOf(call);
  const { state, passphraseFile } = call.options;
  const own = [stateRoot(env, state), stateRoot(env), configFolder(env), key, passphrasePathOf(key)];
  if (passphraseFile !== undefined) own.push(passphraseFile);
  const inside = own.map(canonicalFolder).filter((path) => path !== folder && isIn(path, folder));
  return [...new Set(inside)].map((path) => relative(folder, path).split(sep).map(nameFromText));
}

/** Whether a path equals another or is beneath it; both absolute. */
export function isIn(path: string, above: string): boolean {
  return path === above || path.startsWith(above.endsWith(sep) ? above : above + sep);
}

/** A pin may follow the address. */
function isSameBucket(source: string, url: string): boolean {
  return source === url || source.startsWith(`${url}#`);
}

/** Only Linux has mounts of ours. */
export async function mounts(): Promise<readonly MountedAt[]> {
  return process.platform === "linux" ? readMountTable() : [];
}

function refused(folder: string, why: string): SynclineError {
  return new SynclineError("usage", `${printText(folder)} ${why}: it would be synced into itself.`, {
    hint: "Choose another folder.",
  });
}
