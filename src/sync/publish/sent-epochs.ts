/**
 * Epochs that were sent, and of which nobody heard what came of them: the process died, or the answers were lost. One that is not in the
 * bucket may come yet, where its request waits with a slow master, for as long as the root stands for which it was made. Until then it is
 * remembered how the folder was, so that no pass takes its own changes for others'.
 */
import type { Cid, WriterId } from "../../base/ids.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import type { SyncDatabase } from "../known/database.ts";
import { parseLate, parseSealed, type Late, type Sealed } from "./sealed.ts";

/** All that may be in the bucket or come into it, oldest first. */
export function sentEpochs(db: SyncDatabase): readonly Sealed[] {
  return [...(lateOnes(db)?.epochs ?? []), ...underWay(db)];
}

/** Before it is sent. */
export function noteSending(db: SyncDatabase, sealed: Sealed): void {
  db.setFact("under way", JSON.stringify(sealed));
}

/** It cannot come any more. */
export function forgetUnderWay(db: SyncDatabase): void {
  db.setFact("under way", undefined);
}

/** None of them was found in this root, which has this writer's epochs up to `included`. In a transaction of the caller's. */
export function awaitLate(db: SyncDatabase, root: Cid, included: number): void {
  const late = lateOnes(db);
  const sent = underWay(db);
  // What was sent while an older root stood was for that one; what the root is past cannot come behind it.
  const known = late?.root === root ? late.epochs : [];
  const epochs = shortened([...known, ...sent].filter(({ epoch }) => epoch > included));
  if (sent.length === 0 && epochs.length === late?.epochs.length) return;
  const now: Late = { root, epochs };
  db.setFact("late", epochs.length === 0 ? undefined : JSON.stringify(now));
  forgetUnderWay(db);
}

/** The first epoch that may come late. */
export function firstLateEpoch(db: SyncDatabase): number | undefined {
  return lateOnes(db)?.epochs[0]?.epoch;
}

/** Whether one of them is in the bucket by now. */
export function hasLateCome(db: SyncDatabase, { heads }: VerifiedCommit, writer: WriterId): boolean {
  const first = firstLateEpoch(db);
  return first !== undefined && (heads.get(writer) ?? 0) >= first;
}

/** The folder stands on this root, by an epoch of its own. In a transaction of the caller's. */
export function forgetSent(db: SyncDatabase, root: Cid): void {
  forgetUnderWay(db);
  // An epoch that changed nothing left the root that stood.
  if (lateOnes(db)?.root !== root) db.setFact("late", undefined);
}

function underWay(db: SyncDatabase): Sealed[] {
  const text = db.fact("under way");
  return text === undefined ? [] : [parseSealed(text)];
}

function lateOnes(db: SyncDatabase): Late | undefined {
  const text = db.fact("late");
  return text === undefined ? undefined : parseLate(text);
}

/** The first of them, as many as may be read and written in each pass. */
function shortened(epochs: readonly Sealed[]): readonly Sealed[] {
  const kept: Sealed[] = [];
  let size = 0;
  for (const epoch of epochs) {
    size += epoch.there.length + epoch.gone.length + 1;
    if (size > LATE_ENTRIES_AT_MOST) break;
    kept.push(epoch);
  }
  return kept;
}

/** Some 200 bytes each. A longer epoch is looked for once, and not remembered. */
const LATE_ENTRIES_AT_MOST = 20_000;
