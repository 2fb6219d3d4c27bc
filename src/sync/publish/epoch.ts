/**
 * The folder's changes on their way into the bucket. What is sealed is written down first: if the process dies before it hears what
 * came of it, the next one looks whether the bucket has it, and does not take its own changes for others'.
 */
import type { Clock } from "../../base/clock.ts";
import { hasCode } from "../../base/errors.ts";
import { ROOT_ID, type Cid, type FileId, type FileName, type Lamport } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { Bucket, VerifiedCommit } from "../../bucket/bucket.ts";
import type { ChangeSet, DataReader } from "../../bucket/change-set.ts";
import { differences } from "../../bucket/differences.ts";
import { plainNameOf } from "../../bucket/conflicts/marked-name.ts";
import { listDirectory, lookup, objectOf, readObject, resolvePath, type TreeObject } from "../../bucket/fs-reader.ts";
import { log } from "../../bucket/history.ts";
import { samePlace, type Place } from "../../bucket/object-rows.ts";
import { publishEpoch } from "../../bucket/publish.ts";
import type { Writer } from "../../bucket/publish/next-commit.ts";
import type { PublishOutcome } from "../../bucket/publish/outcome.ts";
import type { FileRecord } from "../../format/record.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { BaseRoot } from "../../overlay/journal-record.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { DiskPath } from "../disk/disk.ts";
import { sameRecord, type Entry } from "../known/entry.ts";
import type { LocalChanges } from "../scan/local-changes.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import { standOn } from "./record-published.ts";
import { awaitLate, firstLateEpoch, forgetSent, noteSending, sentEpochs, type Sealed } from "./sent-epochs.ts";
import { packSeen, type Seen, unpackSeen } from "../known/seen.ts";

export interface EpochContext {
  readonly db: SyncDatabase;
  readonly bucket: Bucket;
  readonly writer: Writer;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** An epoch that was never used by this device. `seen`: the greatest that the bucket knows. */
export function nextEpoch(db: SyncDatabase, seen: number): number {
  const epoch = Math.max(seen, Number(db.fact("epoch") ?? 0)) + 1;
  db.setFact("epoch", String(epoch));
  return epoch;
}

export function changeSetOf(db: SyncDatabase, local: LocalChanges, epoch: number): ChangeSet | undefined {
  const base = db.base();
  if (base === undefined || local.changes.length === 0) return undefined;
  return {
    epoch,
    reference: base.commit,
    lamport: (base.seq + 1) as Lamport,
    objects: local.changes.map(({ changed }) => changed),
    directories: local.directories,
  };
}

/** Publishes it. The caller concludes: what was sealed stays written down until it does. Throws what `data` does. */
export async function publishLocal(
  context: EpochContext,
  changes: ChangeSet,
  local: LocalChanges,
  data: DataReader,
): Promise<PublishOutcome> {
  const { db } = context;
  noteSending(db, sealedOf(changes, local));
  return publishEpoch(context, changes, data, { note: "", late: firstLateEpoch(db) });
}

/** Proves that what is at a path has the record's bytes. */
type Prove = (path: DiskPath, entry: Pick<Entry, "record">) => Promise<boolean>;

/**
 * After a crash: if the bucket has what was sealed, the folder stands on that commit; if not, that is remembered while it may come yet.
 * Throws as reading does.
 */
export async function recoverEpoch(
  context: EpochContext,
  nodes: NodeStore,
  head: VerifiedCommit,
  isAsKnown: Prove,
): Promise<void> {
  const { db, bucket, writer } = context;
  const all = sentEpochs(db);
  if (all.length === 0) return;
  const base = db.base();
  const own = writer.device.writer;
  const included = head.heads.get(own) ?? 0;
  for (const sealed of all) {
    const mayBeThere = included >= sealed.epoch && base !== undefined;
    const commit = mayBeThere ? await findOwn(bucket, head, own, sealed.epoch, base.seq) : undefined;
    if (commit === undefined || base === undefined) continue;
    return db.transaction(() => standOnOwn(context, nodes, { sealed, commit, base }, isAsKnown));
  }
  await db.transaction(() => awaitLate(db, head.cid, included));
}

/** In a transaction of the caller's. */
async function standOnOwn(
  context: EpochContext,
  nodes: NodeStore,
  { sealed, commit, base }: { sealed: Sealed; commit: VerifiedCommit; base: BaseRoot },
  isAsKnown: Prove,
): Promise<void> {
  const { db } = context;
  const { cid, body } = commit;
  const isMerged = body.parent !== sealed.base;
  const isOwn = isMerged ? leftAloneIn(context, nodes, body.parent) : async () => true;
  // Of what others changed, too, the commit may have others' bytes, of the same size and time by chance.
  await know(db, nodes, commit, sealed, async (path, object, place) => {
    return (place !== undefined && (await isOwn(object.id, place))) || isAsKnown(path, object);
  });
  const changes = await differences(nodes, base.tree, body.tree);
  await standOn(db, nodes, { commit: cid, tree: body.tree, seq: body.seq, changes });
  forgetSent(db, cid);
}

/** Tells what others had left alone in the tree that the epoch was merged with: what the commit has of that is as it was sealed. */
function leftAloneIn(
  { db, bucket }: EpochContext,
  nodes: NodeStore,
  parent: Cid | undefined,
): (id: FileId, place: Place) => Promise<boolean> {
  const told = new Map<FileId, Promise<boolean>>();
  const look = async (id: FileId, place: Place) => {
    if (parent === undefined) return false;
    try {
      const { tree } = (await bucket.commit(parent)).body;
      const known = db.byId(id);
      const looked = await Promise.all(known.map((entry) => lookup(nodes, tree, entry)));
      const theirs = looked.find((object) => object?.id === id) ?? (await readObject(nodes, tree, id));
      // What they never had, or removed, is in the commit as it was sealed; what they moved, too.
      if (theirs === undefined) return (await lookup(nodes, tree, place)) === undefined;
      const [entry] = known;
      return entry !== undefined && sameRecord(entry.record, theirs.record);
    } catch (error) {
      if (hasCode(error, "block_not_found")) return false;
      throw error;
    }
  };
  return (id, place) => {
    const known = told.get(id) ?? look(id, place);
    told.set(id, known);
    return known;
  };
}

async function findOwn(
  bucket: Bucket,
  head: VerifiedCommit,
  writer: string,
  epoch: number,
  after: Lamport,
): Promise<VerifiedCommit | undefined> {
  for await (const commit of log(bucket, head)) {
    if (commit.body.seq <= after) return undefined;
    if (commit.body.writer === writer && commit.body.epoch === epoch) return commit;
  }
  return undefined;
}

/** What the commit has just as it was sealed is synced; the rest is looked at as ever. */
async function know(
  db: SyncDatabase,
  nodes: NodeStore,
  { body }: VerifiedCommit,
  sealed: Sealed,
  isOurs: (path: DiskPath, object: TreeObject, sealedAt: Place | undefined) => Promise<boolean>,
): Promise<void> {
  for (const id of sealed.gone) {
    for (const entry of db.byId(id as FileId)) {
      db.remove(entry);
      // Others kept it, as in a directory that they moved: it comes back.
      if ((await lookup(nodes, body.tree, entry))?.id === entry.id) db.unsettle(entry);
    }
  }
  const copyOf = ownCopies(nodes, body, sealed.epoch);
  const others = new Map<bigint, Place>();
  const displaced: Entry[] = [];
  const inodes = new Set(sealed.there.map(({ seen }) => unpackSeen(Buffer.from(seen, "base64")).ino));
  for (const { path, type, seen } of sealed.there) {
    const names = path.map((name) => Buffer.from(name, "base64").toString("latin1") as FileName);
    const name = names.at(-1);
    const above = names.slice(0, -1);
    // Others may have moved the directory that it is in: here it is where it was.
    const parent = directoryIn(db, above) ?? (await resolvePath(nodes, body.tree, above))?.id;
    if (parent === undefined || name === undefined) continue;
    const place = { parent, name };
    const looked = unpackSeen(Buffer.from(seen, "base64"));
    const known = db.at(place);
    const isHere = known !== undefined && (known.seen.ino === looked.ino || !inodes.has(known.seen.ino));
    const there = await lookup(nodes, body.tree, place);
    // Where others moved it, or put something in its place, it is elsewhere in the commit.
    const moved = isHere && there?.id !== known.id ? await readObject(nodes, body.tree, known.id) : undefined;
    const object = moved ?? there;
    if (object === undefined) continue;
    const { record, id } = object;
    const isSame = record.type === type && (type === "directory" || isAsSealed(record, looked));
    // Of what the merge made one with something else here, that is the other one's.
    const isOther = db.byId(id).some((entry) => !samePlace(entry, place) && entry.seen.ino !== looked.ino);
    others.set(looked.ino, place);
    // Otherwise others moved a directory, and this is another one's path by now.
    const sealedAt = pathInFolder(db, place)?.join("/") === names.join("/") ? place : undefined;
    if (!isSame || isOther || (type === "file" && !(await isOurs(names, object, sealedAt)))) {
      const copy = type === "file" && db.at(place)?.id === id ? await copyOf(place, looked) : undefined;
      // Others' version is in its place: until that is shown the folder has its own there.
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
  // What made room here and is others' in the commit: as it was known, where it was sealed.
  for (const entry of displaced) {
    const place = others.get(entry.seen.ino);
    if (place === undefined || db.byId(entry.id).length > 0 || db.at(place) !== undefined) continue;
    db.put({ ...entry, ...place });
    db.unsettle(place);
  }
}

/** Which directory the folder has at a path, as the database has it. */
function directoryIn(db: SyncDatabase, path: DiskPath): FileId | undefined {
  let id: FileId = ROOT_ID;
  for (const name of path) {
    const entry = db.at({ parent: id, name });
    if (entry?.record.type !== "directory") return undefined;
    id = entry.id;
  }
  return id;
}

/** Finds what the epoch has of a file as a conflict copy: the version as it was before it was one. */
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

function sealedOf({ epoch, reference }: ChangeSet, local: LocalChanges): Sealed {
  const there = local.observed.map(({ found, seen }) => ({
    path: found.path.map((name) => Buffer.from(name, "latin1").toString("base64")),
    type: found.stat.type,
    seen: packSeen(seen).toString("base64"),
  }));
  const gone = local.changes.flatMap(({ object, deed }) => {
    return deed === "deleted" && object.id !== undefined ? [object.id] : [];
  });
  return { epoch, base: reference, there, gone };
}
