/** Records as synced what an own commit has exactly as it was sealed, wherever others moved it. */
import type { FileId, FileName } from "../../base/ids.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import { plainNameOf } from "../../bucket/conflicts/marked-name.ts";
import { listDirectory, lookup, objectOf, readObject, resolvePath, type TreeObject } from "../../fstree/fs-reader.ts";
import { samePlace, type Place } from "../../fstree/object-rows.ts";
import type { FileRecord } from "../../format/files/record.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { DiskPath } from "../disk/disk.ts";
import type { Entry } from "../known/entry.ts";
import { directoryIn, pathInFolder } from "../known/path-in-folder.ts";
import type { Sealed } from "./sealed.ts";
import { type Seen, decodeSeen } from "../known/seen.ts";

/** Records what the commit has exactly as sealed; the rest is compared as usual. */
export async function recordOwnCommit(
  db: SyncDatabase,
  nodes: NodeStore,
  { body }: VerifiedCommit,
  sealed: Sealed,
  isOurs: (path: DiskPath, object: TreeObject, sealedAt: Place | undefined) => Promise<boolean>,
): Promise<void> {
  for (const id of sealed.gone) {
    for (const entry of db.byId(id as FileId)) {
      db.remove(entry);
      // Others kept it, for example in a directory that they moved: it comes back.
      if ((await lookup(nodes, body.tree, entry))?.id === entry.id) db.unsettle(entry);
    }
  }
  const copyOf = ownCopies(nodes, body, sealed.epoch);
  const others = new Map<bigint, Place>();
  const displaced: Entry[] = [];
  const inodes = new Set(sealed.there.map(({ seen }) => decodeSeen(Buffer.from(seen, "base64")).ino));
  // Directories come before what is in them: an object of several names is listed at the first one found.
  const parentsFirst = sealed.there.toSorted((a, b) => a.path.length - b.path.length);
  for (const { path, type, seen, id: sealedId = "" } of parentsFirst) {
    const names = path.map((name) => Buffer.from(name, "base64").toString("latin1") as FileName);
    const name = names.at(-1);
    const above = names.slice(0, -1);
    // Others may have moved its directory; in the folder it is still at the old path.
    const parent = directoryIn(db, above) ?? (await resolvePath(nodes, body.tree, above))?.id;
    if (parent === undefined || name === undefined) continue;
    const place = { parent, name };
    const looked = decodeSeen(Buffer.from(seen, "base64"));
    const known = db.at(place);
    const isHere =
      known !== undefined &&
      (sealedId === "" ? known.seen.ino === looked.ino || !inodes.has(known.seen.ino) : known.id === sealedId);
    const there = await lookup(nodes, body.tree, place);
    // If others moved it or replaced it at its place, the commit has it elsewhere.
    const moved = isHere && there?.id !== known.id ? await readObject(nodes, body.tree, known.id) : undefined;
    const object = moved ?? there;
    if (object === undefined) continue;
    const { record, id } = object;
    const isSame = record.type === type && (type === "directory" || isAsSealed(record, looked));
    // If the merge united it with another object here, the result belongs to that object.
    const isOther = db.byId(id).some((entry) => !samePlace(entry, place) && entry.seen.ino !== looked.ino);
    others.set(looked.ino, place);
    // Otherwise others moved a directory, and the path now belongs to another object.
    const sealedAt = pathInFolder(db, place)?.join("/") === names.join("/") ? place : undefined;
    if (!isSame || isOther || (type === "file" && !(await isOurs(names, object, sealedAt)))) {
      const copy = type === "file" && db.at(place)?.id === id ? await copyOf(place, looked) : undefined;
      // Others' version has its place: until that is shown, the folder has its own there.
      if (copy !== undefined) db.put({ ...place, id, record: copy, seen: looked });
      continue;
    }
    others.delete(looked.ino);
    if (known !== undefined && known.id !== id) displaced.push(known);
    for (const entry of db.byId(id)) {
      if ((await lookup(nodes, body.tree, entry))?.id !== id) db.remove(entry);
    }
    db.put({ ...place, id, record, seen: looked });
  }
  // An object that made room here and is others' in the commit: kept as known, at the sealed place.
  for (const entry of displaced) {
    const place = others.get(entry.seen.ino);
    if (place === undefined || db.byId(entry.id).length > 0 || db.at(place) !== undefined) continue;
    db.put({ ...entry, ...place });
    db.unsettle(place);
  }
}

/** Finds the epoch's conflict copy of a file, with the record from before the conflict. */
function ownCopies(nodes: NodeStore, { tree, writer }: VerifiedCommit["body"], epoch: number) {
  const inDirectory = new Map<FileId, Promise<Map<FileName, FileRecord[]>>>();
  const read = async (parent: FileId) => {
    const copies = new Map<FileName, FileRecord[]>();
    for await (const { name, dentry } of listDirectory(nodes, tree, parent)) {
      const plain = plainNameOf(name);
      if (plain === undefined) continue;
      const { record } = await objectOf(nodes, tree, { parent, name }, dentry);
      const isOwn = record.conflict?.writer === writer && record.conflict.epoch === epoch;
      if (isOwn) copies.set(plain, [...(copies.get(plain) ?? []), { ...record, conflict: undefined }]);
    }
    return copies;
  };
  return async ({ parent, name }: Place, looked: Seen): Promise<FileRecord | undefined> => {
    const copies = inDirectory.get(parent) ?? read(parent);
    inDirectory.set(parent, copies);
    return (await copies).get(name)?.find((record) => isAsSealed(record, looked));
  };
}

function isAsSealed(
  record: { readonly size: number; readonly mtimeNs: bigint; readonly type: string },
  seen: { readonly size: number; readonly mtimeNs: bigint },
): boolean {
  return record.mtimeNs === seen.mtimeNs && (record.type !== "file" || record.size === seen.size);
}
