/** Keeps `get` and `put` away from the folder that their bucket is stored in. */
import { lstat, realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { SynclineError } from "../../base/errors.ts";
import { escapeForPrint } from "../../base/names.ts";
import { parseAddress } from "../../bucket/address.ts";
import { printText } from "../terminal/text.ts";

/** Throws `path_exists` if a copy to `name` in `folder` could overwrite the bucket's own files. `text` names it. */
export async function refuseOwnTarget(address: string, folder: string, name: Buffer, text: string): Promise<void> {
  const own = folderOf(address);
  if (own === undefined) return;
  const how = await relation(own, folder, Buffer.concat([Buffer.from(`${await realpath(folder)}/`), name]));
  if (how === undefined) return;
  const message = `${escapeForPrint(text)} ${how} the folder in which the bucket is stored, ${printText(own)}.`;
  throw new SynclineError("path_exists", message, {
    hint: "Name a target outside of it, such as: syncline get -r URL ~/copy.",
  });
}

/** Throws `usage` if the bucket would be copied into itself. */
export async function refuseOwnSource(address: string, source: string): Promise<void> {
  const own = folderOf(address);
  const isFolder = (await lstat(source).catch(() => undefined))?.isDirectory() === true;
  const how = own === undefined || !isFolder ? undefined : await relation(own, source, source);
  if (own === undefined || how === undefined) return;
  const message = `${printText(source)} ${how} the folder in which the bucket is stored, ${printText(own)}.`;
  throw new SynclineError("usage", `${message} It would be copied into itself.`, {
    hint: "Put folders that do not contain it, one by one.",
  });
}

function folderOf(address: string): string | undefined {
  const parsed = parseAddress(address);
  return parsed.scheme === "file" ? parsed.path : undefined;
}

/** How `path`, which is `folder` or in it, lies to the bucket's folder. By inode: a folder can have several paths. */
async function relation(own: string, folder: string, path: string | Buffer): Promise<string | undefined> {
  const bucket = await identity(stat(own, { bigint: true }));
  if (bucket === undefined) return undefined;
  const target = await identity((path === folder ? stat : lstat)(path, { bigint: true }));
  if (target === bucket) return "is";
  if ((await identitiesAbove(folder)).has(bucket)) return "is in";
  return target !== undefined && (await identitiesAbove(own)).has(target) ? "contains" : undefined;
}

/** A folder and all above it. */
async function identitiesAbove(folder: string): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (let at = await realpath(folder), last = ""; at !== last; [at, last] = [dirname(at), at]) {
    const id = await identity(stat(at, { bigint: true }));
    if (id !== undefined) found.add(id);
  }
  return found;
}

/** Undefined: nothing is there, or nobody may look at it. */
async function identity(looking: Promise<{ readonly dev: bigint; readonly ino: bigint }>): Promise<string | undefined> {
  const { dev, ino } = await looking.catch(() => ({ dev: 0n, ino: 0n }));
  return ino === 0n ? undefined : `${dev} ${ino}`;
}
