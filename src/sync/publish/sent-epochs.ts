/**
 * Sent epochs of unknown outcome: the process died, or the answers were lost. An epoch that is not in the bucket may still
 * come from a request that waits at a slow master, as long as the root that it expects is current. Until then the folder's
 * state is recorded, so that no pass takes its own changes for others'.
 */
import type { Cid } from "../../base/ids.ts";
import { SENT_COMMITS } from "../../base/limits.ts";
import type { SentCommit } from "../../fstree/change-set.ts";
import type { SyncDatabase } from "../known/database.ts";
import { parseLate, parseSealed, parseSent, type Late, type Sealed, type Sent } from "./sealed.ts";

/** All epochs that may be in the bucket or may still come, oldest first. */
export function sentEpochs(db: SyncDatabase): readonly Sealed[] {
  return [...(lateOnes(db)?.epochs ?? []), ...underWay(db)];
}

/** Call before sending. */
export function noteSending(db: SyncDatabase, sealed: Sealed): void {
  db.setFact("under way", JSON.stringify(sealed));
}

/** Call before a swap of the epoch under way is sent: this commit may come to be in the bucket. */
export function noteSent(db: SyncDatabase, epoch: number, commit: SentCommit): void {
  const sent: Sent = { epoch, sent: [...sentSwaps(db, epoch), commit].slice(-SENT_COMMITS) };
  db.setFact("sent", JSON.stringify(sent));
}

/** Whether a swap of the epoch under way may have been sent. */
export function mayHaveBeenSent(db: SyncDatabase, epoch: number): boolean {
  return sentSwaps(db, epoch).length > 0;
}

/** The epoch can no longer come. */
export function forgetUnderWay(db: SyncDatabase): void {
  db.setFact("under way", undefined);
}

/** None of them is in this root, which has this writer's epochs up to `included`. Runs in the caller's transaction. */
export function awaitLate(db: SyncDatabase, root: Cid, included: number): void {
  const late = lateOnes(db);
  const sent = underWay(db);
  // An epoch sent for an older root can no longer come, nor can one that the root's head has passed.
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

/** Whether one of them is in the bucket by now, whose root has this writer's epochs up to `included`. */
export function hasLateCome(db: SyncDatabase, included: number): boolean {
  const first = firstLateEpoch(db);
  return first !== undefined && included >= first;
}

/** An own epoch made this root the base. Runs in the caller's transaction. */
export function forgetSent(db: SyncDatabase, root: Cid): void {
  forgetUnderWay(db);
  // An epoch without changes leaves the root as it is.
  if (lateOnes(db)?.root !== root) db.setFact("late", undefined);
}

function underWay(db: SyncDatabase): Sealed[] {
  const text = db.fact("under way");
  if (text === undefined) return [];
  const sealed = parseSealed(text);
  const sent = sentSwaps(db, sealed.epoch);
  return [sent.length === 0 ? sealed : { ...sealed, sent }];
}

function sentSwaps(db: SyncDatabase, epoch: number): readonly SentCommit[] {
  const text = db.fact("sent");
  const noted = text === undefined ? undefined : parseSent(text);
  return noted?.epoch === epoch ? noted.sent : [];
}

function lateOnes(db: SyncDatabase): Late | undefined {
  const text = db.fact("late");
  return text === undefined ? undefined : parseLate(text);
}

/** The first of them, as many as each pass can read and write. */
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

/** Some 200 bytes each. A longer epoch is looked for once, and not recorded. */
const LATE_ENTRIES_AT_MOST = 20_000;
