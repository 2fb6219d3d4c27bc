/**
 * The folder comes to show the root that it stands on. Very much that is new comes in portions, each planned and done before the next one is looked
 * at: a plan takes some KiB of memory a place.
 */
import type { FileId } from "../../base/ids.ts";
import { placeText } from "../../fstree/object-rows.ts";
import {
  countFilesBefore,
  massDeletion,
  noteFilesBefore,
  type DeletionLimit,
  type HeldDeletions,
} from "../deletion-limit.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { Entry } from "../known/entry.ts";
import type { ApplyContext } from "./apply-context.ts";
import { applyPlan, type Applied } from "./apply.ts";
import { makePlan, noteBehind, planNew, type Plan, type PlanContext, type Targets } from "./plan.ts";

export interface ShowOptions {
  /** How many places are planned at once where that may be chosen. */
  readonly most: number;
  readonly isDryRun: boolean;
  /** The digest of deletions that a person approved here. */
  readonly allowDeletes: string | undefined;
  /** Which of these a person approved where they were made. Asked only where so much would go that it has to be. */
  readonly approvedElsewhere: (entries: readonly Entry[]) => Promise<ReadonlySet<FileId>>;
  readonly deletionLimit: DeletionLimit;
  /** Told how many places are about to be written or removed, if any. */
  readonly applying: (places: number) => void;
}

export interface Shown {
  /** Of what was left for the end: of most folders all. */
  readonly plan: Plan;
  /** These deletions wait for approval; all else was done. */
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
  const targets = await db.transaction(() => noteBehind(behind, isDryRun ? Infinity : most));
  const early: Early = { files: 0, touched: new Set() };
  const waiting = isDryRun ? 0 : db.behind.countWaiting();
  if (waiting > most) {
    noteFilesBefore(db, options.deletionLimit);
    await bringNew(context, behind, targets, most, early, () => applying(waiting));
  }
  const plan = await db.transaction(() => makePlan(behind, targets));
  const { held, entries } = await heldOf(db, plan, options);
  if (isDryRun) return { plan, held, applied: NOTHING };
  if (held !== undefined) noteFilesBefore(db, options.deletionLimit);
  const now = held === undefined ? plan : besides(db, plan, entries);
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

/** The deletions of a plan that wait for approval, if any. */
async function heldOf(
  db: SyncDatabase,
  { removals }: Plan,
  { allowDeletes, approvedElsewhere, deletionLimit }: ShowOptions,
): Promise<{ readonly held: HeldDeletions | undefined; readonly entries: readonly Entry[] }> {
  const all = removals.map(({ entry }) => entry);
  const total = countFilesBefore(db, deletionLimit);
  if (massDeletion("folder", all, total, deletionLimit) === undefined) return { held: undefined, entries: [] };
  const approved = await approvedElsewhere(all.filter(({ record }) => record.type !== "directory"));
  const entries = all.filter(({ id }) => !approved.has(id));
  const held = massDeletion("folder", entries, total, deletionLimit);
  return { held: held?.digest === allowDeletes ? undefined : held, entries };
}

/** What of a plan can be done while some names stay: not what needs one of these places, nor what is to be in it. */
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
      // It stays where it is until it can go where it belongs.
      for (const entry of db.byId(id)) taken.add(placeText(entry));
      return false;
    });
  }
  return { puts, removals, left: [] };
}

const NOTHING: Applied = { files: 0, removed: 0, left: [] };
