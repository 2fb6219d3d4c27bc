/** After a crash: finds out which sent epochs are in the bucket. Their changes are the folder's own. */
import { isGone } from "../../blocks/not-found.ts";
import type { Cid, FileId } from "../../base/ids.ts";
import { findEpoch, mayBeSent } from "../../bucket/publish/own-epoch.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import { newBase } from "../../bucket/catch-up.ts";
import { lookup, readObject } from "../../fstree/fs-reader.ts";
import type { Place } from "../../fstree/object-rows.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { BaseRoot } from "../../overlay/journal/journal-record.ts";
import type { DiskPath } from "../disk/disk.ts";
import { sameRecord } from "../../fstree/same-record.ts";
import { type Entry } from "../known/entry.ts";
import type { EpochContext } from "./epoch.ts";
import { type FolderContext, recordForgotten } from "./record-forgotten.ts";
import { recordOwnCommit } from "./record-own-commit.ts";
import { standOn } from "./record-published.ts";
import type { Sealed } from "./sealed.ts";
import { awaitLate, forgetSent, sentEpochs } from "./sent-epochs.ts";

type RecoveryContext = EpochContext & FolderContext;

/** Proves that the file at a path has the record's bytes. */
type Prove = (path: DiskPath, entry: Pick<Entry, "record">) => Promise<boolean>;

/**
 * After a crash: if the bucket has a sealed epoch, its commit becomes the base. If not, the epoch stays recorded while it
 * may still come. Throws as reading does.
 */
export async function recoverEpoch(
  context: RecoveryContext,
  nodes: NodeStore,
  head: VerifiedCommit,
  isAsKnown: Prove,
): Promise<void> {
  const { db, bucket, writer } = context;
  const all = sentEpochs(db);
  if (all.length === 0) return;
  const base = db.base();
  const own = writer.device.writer;
  const included = await bucket.heads.epochOf(head.body, own);
  for (const sealed of all) {
    if (base === undefined || included < sealed.epoch) continue;
    const found = await findEpoch(bucket, head, own, sealed.epoch);
    const { brought, oldest } = found;
    if (brought !== undefined)
      return db.transaction(() => standOnOwn(context, nodes, { sealed, commit: brought, base }, isAsKnown));
    if (included > sealed.epoch || !(await mayBeSent(bucket, head, found, sealed.sent ?? []))) continue;
    return db.transaction(() => standOnLater(context, nodes, { sealed, commit: oldest, base }, isAsKnown));
  }
  await db.transaction(() => awaitLate(db, head.cid, included));
}

interface Recovered {
  readonly sealed: Sealed;
  readonly commit: VerifiedCommit;
  readonly base: BaseRoot;
}

/** The epoch's commit is gone; `commit` is the oldest one left that includes it. Runs in the caller's transaction. */
async function standOnLater(
  context: RecoveryContext,
  nodes: NodeStore,
  { sealed, commit, base }: Recovered,
  isAsKnown: Prove,
): Promise<void> {
  const { db } = context;
  await recordOwnCommit(db, nodes, commit, sealed, (path, object) => isAsKnown(path, object));
  await recordForgotten(context, nodes, commit.body.tree, sealed);
  await standOn(db, nodes, await newBase(nodes, base.tree, commit));
  forgetSent(db, commit.cid);
}

/** Runs in the caller's transaction. */
async function standOnOwn(
  context: EpochContext,
  nodes: NodeStore,
  { sealed, commit, base }: Recovered,
  isAsKnown: Prove,
): Promise<void> {
  const { db } = context;
  const { body } = commit;
  const isMerged = body.parent !== sealed.base;
  const isOwn = isMerged ? leftAloneIn(context, nodes, body.parent) : async () => true;
  // If others changed a file, too, the commit may have their bytes, with the same size and time by chance.
  await recordOwnCommit(db, nodes, commit, sealed, async (path, object, place) => {
    return (place !== undefined && (await isOwn(object.id, place))) || isAsKnown(path, object);
  });
  await standOn(db, nodes, await newBase(nodes, base.tree, commit));
  forgetSent(db, commit.cid);
}

/**
 * Answers whether others left an object unchanged in the tree that the epoch was merged with: if so, the commit has it as
 * sealed.
 */
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
      // What they never had, or removed, or moved, is in the commit as sealed.
      if (theirs === undefined) return (await lookup(nodes, tree, place)) === undefined;
      const [entry] = known;
      return entry !== undefined && sameRecord(entry.record, theirs.record);
    } catch (error) {
      if (isGone(error)) return false;
      throw error;
    }
  };
  return (id, place) => {
    const known = told.get(id) ?? look(id, place);
    told.set(id, known);
    return known;
  };
}
