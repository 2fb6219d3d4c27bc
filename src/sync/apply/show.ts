/**
 * The folder comes to show the root that it stands on. Very much that is new comes in portions, each planned and done before the next one is looked
 * at: a plan takes some KiB of memory a place.
 */
import type { FileId } from "../../base/ids.ts";
import { checkDeletions, countFilesBefore, noteFilesBefore, type HeldDeletions } from "../deletion-limit.ts";
import type { ApplyContext } from "./apply-context.ts";
import { applyPlan, type Applied } from "./apply.ts";
import { makePlan, noteBehind, planNew, type Plan, type PlanContext, type Put, type Targets } from "./plan.ts";

export interface ShowOptions {
  /** How many places are planned at once where that may be chosen. */
  readonly most: number;
  readonly isRehearsal: boolean;
  /** The digest of deletions that somebody said yes to. */
  readonly allowDeletes: string | undefined;
  /** Told how many places are about to be written or removed, if any. */
  readonly applying: (places: number) => void;
}

export interface Shown {
  /** Of what was left for the end: of most folders all. */
  readonly plan: Plan;
  /** Somebody has to say yes to deletions first. */
  readonly held: HeldDeletions | undefined;
  readonly applied: Applied;
}

export async function showRoot(
  context: Omit<ApplyContext, "redo">,
  behind: PlanContext,
  options: ShowOptions,
): Promise<Shown> {
  const { db } = behind;
  const { most, isRehearsal, allowDeletes, applying } = options;
  const targets = await db.transaction(() => noteBehind(behind, isRehearsal ? Infinity : most));
  const early: Early = { files: 0, touched: new Set() };
  const waiting = isRehearsal ? 0 : db.behind.countWaiting();
  if (waiting > most) {
    noteFilesBefore(db);
    await bringNew(context, behind, targets, most, early, () => applying(waiting));
  }
  const plan = await db.transaction(() => makePlan(behind, targets));
  const removed = plan.removals.map(({ entry }) => entry);
  const held = checkDeletions("folder", removed, countFilesBefore(db), allowDeletes);
  if (isRehearsal) return { plan, held, applied: NOTHING };
  // Directories that came are finished, whatever waits for a yes: also those of a run that was killed.
  const now = held === undefined ? plan : { puts: plan.puts.filter(isKnownDirectory), removals: [], left: [] };
  const places = now.puts.length + now.removals.length;
  if (places > 0) applying(places);
  const { files, removed: gone, left } = await applyPlan(context, now, early.touched, true);
  return { plan, held, applied: { files: early.files + files, removed: gone, left } };
}

/** What was brought before the plan of all. */
interface Early {
  files: number;
  /** Directories that something came into. */
  readonly touched: Set<FileId>;
}

/** New things for which nothing has to give way. What cannot be had now is for the plan of all. */
async function bringNew(
  context: Omit<ApplyContext, "redo">,
  behind: PlanContext,
  targets: Targets,
  most: number,
  early: Early,
  applying: () => void,
): Promise<void> {
  let isTold = false;
  const { db } = behind;
  // Where it is not told in this order, what is in a directory has to wait for a pass behind that of the directory.
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
      const { files } = await applyPlan(context, plan, early.touched, false);
      early.files += files;
      const made = plan.puts.filter(
        ({ place, target }) => target.record.type === "directory" && db.at(place) !== undefined,
      );
      isMore ||= made.length > 0;
    }
  }
}

function isKnownDirectory({ target, what }: Put): boolean {
  return target.record.type === "directory" && what === "change";
}

const NOTHING: Applied = { files: 0, removed: 0, left: [] };
