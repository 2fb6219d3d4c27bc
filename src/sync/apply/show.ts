/**
 * The folder comes to show the root that it stands on. Very much that is new comes in portions, each planned and done before the next one is looked
 * at: a plan takes some KiB of memory a place.
 */
import type { FileId } from "../../base/ids.ts";
import { checkDeletions, type HeldDeletions } from "../deletion-limit.ts";
import type { ApplyContext } from "./apply-context.ts";
import { applyPlan, type Applied } from "./apply.ts";
import { isPassing, makePlan, noteBehind, planNew, type Plan, type PlanContext, type Targets } from "./plan.ts";

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
  const touched = new Set<FileId>();
  const isMuch = !isRehearsal && db.countUnsettled() > most;
  const early = isMuch ? await bringNew(context, { behind, targets, touched, options }) : NOTHING;
  const plan = await db.transaction(() => makePlan(behind, targets));
  const removed = plan.removals.map(({ entry }) => entry);
  const held = checkDeletions("folder", removed, db.countFiles(), allowDeletes);
  if (held !== undefined || isRehearsal) return { plan, held, applied: early };
  const places = plan.puts.length + plan.removals.length;
  if (places > 0) applying(places);
  const last = await applyPlan(context, plan, touched, true);
  const files = early.files + last.files;
  return { plan, held, applied: { files, removed: last.removed, left: [...early.left, ...last.left] } };
}

interface Bringing {
  readonly behind: PlanContext;
  readonly targets: Targets;
  readonly touched: Set<FileId>;
  readonly options: ShowOptions;
}

/** New things for which nothing has to give way. What cannot be had now is for the plan of all. */
async function bringNew(
  context: Omit<ApplyContext, "redo">,
  { behind, targets, touched, options: { most, applying } }: Bringing,
): Promise<Applied> {
  const { db } = behind;
  applying(db.countUnsettled());
  const end = db.lastUnsettled();
  let files = 0;
  const left: Applied["left"][number][] = [];
  for (let at = 0; ;) {
    const places = db.unsettledFrom(at, end, most);
    const last = places.at(-1);
    if (last === undefined) return { files, removed: 0, left };
    at = last.row;
    const plan = await db.transaction(() => planNew(behind, targets, places));
    const applied = await applyPlan(context, plan, touched, false);
    files += applied.files;
    left.push(...applied.left.filter(({ reason }) => !isPassing(reason)));
  }
}

const NOTHING: Applied = { files: 0, removed: 0, left: [] };
