/** MKCOL and DELETE. */
import type { FileName, Ino } from "../base/ids.ts";
import { Pace } from "../base/pace.ts";
import { ERRNO } from "../base/errno.ts";
import { type FileSystem, FsError } from "../vfs/filesystem.ts";
import { answer, type Call } from "./call.ts";
import { checkMemberLocks, checkWritable } from "./change-check.ts";
import { checkMakeable } from "./href.ts";
import { DAV_SLICE_MS } from "./limits.ts";
import { findPlace, isFolder, makeable, present, writable } from "./place.ts";
import { checkPreconditions } from "./preconditions.ts";
import { Refusal } from "./refusal.ts";
import { declaredBytes } from "../http/request-body.ts";

export async function mkcol(call: Call): Promise<void> {
  checkWritable(call);
  if (declaredBytes(call.request) !== 0) throw new Refusal(415, "A folder is made without a body.");
  await call.access.change(undefined, (fs) => {
    const found = findPlace(fs, call.href.path, "itself");
    if (found?.name === undefined && found !== undefined) throw new Refusal(405, "The root is there already.");
    const { parent, name, path, attributes } = makeable(found);
    // What is refused anyhow is refused for that, whatever the conditions are (RFC 9110, section 13.2.1).
    if (attributes !== undefined) throw new Refusal(405, "There is something here already.");
    checkMakeable(name);
    checkPreconditions(call, fs, found);
    checkMemberLocks(call, path, "own bytes");
    fs.makeDirectory(parent, name, 0o755, call.caller);
  });
  answer(call, 201);
}

export async function remove(call: Call): Promise<void> {
  checkWritable(call);
  const { depth } = call.request.headers;
  if (depth !== undefined && !/^infinity$/i.test(String(depth)))
    throw new Refusal(400, "A folder goes with all in it.");
  const { place, folder } = await call.access.change(undefined, (fs) => {
    const found = findPlace(fs, call.href.path, "itself");
    const there = { ...writable(present(found)), attributes: present(found).attributes };
    if (call.href.isFolder && !isFolder(there.attributes)) throw new Refusal(404, "There is no such folder.");
    checkPreconditions(call, fs, found);
    checkMemberLocks(call, there.path, "all in it");
    if (isFolder(there.attributes)) return { place: there, folder: there.attributes.ino };
    fs.unlink(there.parent, there.name);
    return { place: there, folder: undefined };
  });
  if (folder !== undefined) await removeTree(call, place.parent, place.name, folder);
  call.locks.removed(place.path);
  answer(call, 204);
}

export type RemovePorts = Pick<Call, "access" | "clock">;

/** Removes what has the name, if anything has: a folder with all in it. Throws what the filesystem refuses. */
export async function removeWhole(ports: RemovePorts, parent: Ino, name: FileName): Promise<void> {
  const there = await ports.access.run((fs) => fs.lookup(parent, name));
  if (there === undefined) return;
  if (isFolder(there)) await removeTree(ports, parent, name, there.ino);
  else await ports.access.change(undefined, (fs) => fs.unlink(parent, name));
}

/** Removes a folder and all in it, what is not shown included. Throws what the filesystem refuses. */
async function removeTree({ access, clock }: RemovePorts, parent: Ino, name: FileName, folder: Ino): Promise<void> {
  const pace = new Pace(clock, DAV_SLICE_MS);
  const work: { readonly parent: Ino; readonly name: FileName; readonly ino: Ino }[] = [{ parent, name, ino: folder }];
  for (let rounds = 0; ;) {
    const at = work.at(-1);
    if (at === undefined) return;
    const folders = await access.change(undefined, (fs) => removeFiles(fs, at.ino));
    for (const child of folders) work.push({ parent: at.ino, ...child });
    if (folders.length === 0) {
      const isGone = await access.change(undefined, (fs) => {
        try {
          fs.removeDirectory(at.parent, at.name);
          return true;
        } catch (error) {
          // Somebody else removed it, or put something into it meanwhile.
          if (error instanceof FsError && error.errno === ERRNO.ENOENT) return true;
          if (error instanceof FsError && error.errno === ERRNO.ENOTEMPTY && rounds++ < MAX_REFILLS) return false;
          throw error;
        }
      });
      if (isGone) work.pop();
    }
    await pace.breathe();
  }
}

/** How often others may fill a folder again that is being removed. */
const MAX_REFILLS = 1_000;
/** Files that go in one step. */
const STEP = 256;

/** Removes some of its files. Answers the folders in it once there are no files left. */
function removeFiles(fs: FileSystem, ino: Ino) {
  const files: FileName[] = [];
  const folders: { readonly name: FileName; readonly ino: Ino }[] = [];
  fs.readDirectory(ino, 0, false, (entry) => {
    if (entry.name === "." || entry.name === "..") return true;
    if (isFolder(entry)) folders.push({ name: entry.name, ino: entry.ino });
    else files.push(entry.name);
    return files.length < STEP && folders.length < STEP;
  });
  for (const name of files) fs.unlink(ino, name);
  return folders;
}
