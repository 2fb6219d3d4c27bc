/**
 * Makes the folder show its base. Large amounts of new files come in portions; each is planned and done before the next is
 * read, since a plan takes some KiB of memory per place.
 */
import type { FileId } from "../../base/ids.ts";
import { placeText } from "../../fstree/object-rows.ts";
import { massDeletion, noteFilesBefore, type DeletionLimit, type HeldDeletions } from "../deletion-limit.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { Entry } from "../known/entry.ts";
import type { ApplyContext } from "./apply-context.ts";
import { applyPlan, type Applied } from "./apply.ts";
import { forgetMovedAway } from "./ignored-sources.ts";
import type { Targets } from "./compare-all.ts";
import { makePlan, noteBehind, planNew, type Plan, type PlanContext } from "./plan.ts";

export interface ShowOptions {
  /** How many places to plan at once, if the work can be split. */
  readonly most: number;
  readonly isDryRun: boolean;
  /** The digest of deletions that a person approved here. */
  readonly allowDeletes: string | undefined;
  /** Which of these deletions were approved where they were made. Called only if they need approval. */
  readonly approvedElsewhere: (entries: readonly Entry[]) => Promise<ReadonlySet<FileId>>;
  readonly deletionLimit: DeletionLimit;
  /** Called with the number of paths about to be written or removed, if any. */
  readonly applying: (places: number) => void;
}

export interface Shown {
  /** The final plan: in most folders everything. */
  readonly plan: Plan;
  /** Deletions that await approval; all else was done. */
  readonly held: HeldDeletions | undefined;
  readonly applied: Applied;
}

export async function showRoot(
  context: Omit<ApplyContext, "redo">,
  behind: PlanContext,
  options: ShowOptions,
): Promise<Shown> {
  const { db } = behind;
  const { most, isDryRun, applying } = options;
  const targets = await db.transaction(async () => {
    await forgetMovedAway(behind);
    return noteBehind(behind, isDryRun ? Infinity : most);
  });
  let early = 0;
  const waiting = isDryRun ? 0 : db.behind.countWaiting();
  if (waiting > most) {
    noteFilesBefore(db, options.deletionLimit);
    early = await bringNew(context, behind, targets, most, () => applying(waiting));
  }
  const plan = await db.transaction(() => makePlan(behind, targets));
  const { held, entries } = await heldOf(behind, plan, options);
  if (isDryRun) return { plan, held, applied: NOTHING };
  if (held !== undefined) noteFilesBefore(db, options.deletionLimit);
  const now = held === undefined ? plan : besides(db, plan, entries);
  const places = now.puts.length + now.removals.length;
  if (places > 0) applying(places);
  // If this pass is killed, the next one must not mistake these removals for a program's.
  if (now.removals.some(({ isLeaving }) => isLeaving)) db.setFact("leaving", "yes");
  const { files, removed: gone, left } = await applyPlan(context, now, true);
  if (db.fact("leaving") !== undefined) db.setFact("leaving", undefined);
  return { plan, held, applied: { files: early + files, removed: gone, left } };
}

/** Puts new objects that displace nothing; counts the files. Whatever fails now is left to the final plan. */
async function bringNew(
  context: Omit<ApplyContext, "redo">,
  behind: PlanContext,
  targets: Targets,
  most: number,
  applying: () => void,
): Promise<number> {
  let isTold = false;
  let early = 0;
  const { db } = behind;
  // Notes may come in another order: entries whose directory is noted later wait for the next round.
  for (let isMore = true; isMore;) {
    isMore = false;
    const end = db.behind.lastRow();
    for (let at = 0; ;) {
      const places = db.behind.from(at, end, most);
      const last = places.at(-1);
      if (last === undefined) break;
      at = last.row;
      const plan = await db.transaction(() => planNew(behind, targets, places));
      if (plan.puts.length > 0 && !isTold) {
        isTold = true;
        applying();
      }
      const { files } = await applyPlan(context, plan, false);
      early += files;
      const made = plan.puts.filter(
        ({ place, target }) => target.record.type === "directory" && db.at(place) !== undefined,
      );
      isMore ||= made.length > 0;
    }
  }
  return early;
}

/** The deletions in a plan that await approval, if any. */
async function heldOf(
  { db, rules }: PlanContext,
  { removals }: Plan,
  { allowDeletes, approvedElsewhere, deletionLimit: limit }: ShowOptions,
): Promise<{ readonly held: HeldDeletions | undefined; readonly entries: readonly Entry[] }> {
  const all = removals.map(({ entry }) => entry);
  const limited = { db, rules, limit };
  if (massDeletion("folder", all, limited) === undefined) return { held: undefined, entries: [] };
  const approved = await approvedElsewhere(all.filter(({ record }) => record.type !== "directory"));
  const entries = all.filter(({ id }) => !approved.has(id));
  const held = massDeletion("folder", entries, limited);
  return { held: held?.digest === allowDeletes ? undefined : held, entries };
}

/**
 * The part of a plan that can be done while some names stay: excludes puts that need their places, and all in those puts.
 */
function besides(db: SyncDatabase, plan: Plan, staying: readonly Entry[]): Plan {
  const taken = new Set(staying.map(placeText));
  const removals = plan.removals.filter(({ entry }) => !taken.has(placeText(entry)));
  const waiting = new Set<FileId>();
  let puts = plan.puts;
  for (let before = -1; before !== puts.length;) {
    before = puts.length;
    puts = puts.filter(({ place, target: { id } }) => {
      if (!taken.has(placeText(place)) && !waiting.has(place.parent)) return true;
      waiting.add(id);
      // It stays where it is until it can move to its place.
      for (const entry of db.byId(id)) taken.add(placeText(entry));
      return false;
    });
  }
  return { puts, removals, left: plan.left };
}

const NOTHING: Applied = { files: 0, removed: 0, left: [] };
