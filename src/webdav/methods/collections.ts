/** MKCOL and DELETE. */
import { answer, type Call } from "../call.ts";
import { checkMemberLocks, checkWritable } from "../locks/change-check.ts";
import { checkMakeable } from "../href.ts";
import { lookUpPath, isFolder } from "../../files/resolved-path.ts";
import { checkSlash, makeable, present, writable } from "./path-checks.ts";
import { checkPreconditions } from "../locks/preconditions.ts";
import { Refusal } from "../refusal.ts";
import { removeTree } from "../../files/remove.ts";
import { declaredBytes } from "../../http/request-body.ts";

export async function mkcol(call: Call): Promise<void> {
  checkWritable(call);
  if (declaredBytes(call.request) !== 0) throw new Refusal(415, "A request to create a folder must have no body.");
  await call.access.change(undefined, (fs) => {
    const found = lookUpPath(fs, call.href.path, "itself");
    if (found?.name === undefined && found !== undefined) throw new Refusal(405, "The root folder already exists.");
    const { parent, name, path, attributes } = makeable(found);
    // Other errors come before preconditions (RFC 9110, section 13.2.1).
    if (attributes !== undefined) throw new Refusal(405, "Something already exists here.");
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
    throw new Refusal(400, "The Depth of a DELETE must be infinity.");
  using others = call.access.fs.watchOthers?.();
  const { place, folder } = await call.access.change(undefined, (fs) => {
    const found = lookUpPath(fs, call.href.path, "itself");
    const there = { ...writable(present(found)), attributes: present(found).attributes };
    checkSlash(call, fs, there);
    checkPreconditions(call, fs, found);
    checkMemberLocks(call, there.path, "all in it");
    if (isFolder(there.attributes)) return { place: there, folder: there.attributes.ino };
    fs.unlink(there.parent, there.name);
    return { place: there, folder: undefined };
  });
  if (folder !== undefined) {
    // Others may take locks in it meanwhile.
    const check = () => checkMemberLocks(call, place.path, "all in it");
    if (!(await removeTree(call, place.parent, place.name, folder, { check, others })))
      throw new Refusal(409, "Others changed something in the folder meanwhile. Their changes are still there.");
  }
  call.locks.removed(place.path);
  answer(call, 204);
}
