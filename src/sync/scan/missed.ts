/**
 * What a walk missed. A file that moves during a walk can be in neither of its directories when they are listed. So if any
 * directory changed meanwhile, only what two walks in a row miss counts as deleted.
 */
import { placeText } from "../../fstree/object-rows.ts";
import type { DiskStat, SyncDisk } from "../disk/disk.ts";
import type { Entry } from "../known/entry.ts";
import type { Matching } from "./match.ts";
import { within, type Walked } from "./walk.ts";

/** A walk of the whole folder. */
export interface Looked {
  readonly walked: Walked;
  readonly matching: Matching;
  /** When it began, by the clock. */
  readonly lookedNs: bigint;
  readonly beganMs: number;
}

export interface Certain extends Looked {
  /** Names that may only have moved: other walks found them. */
  readonly unsure: readonly Entry[];
}

/** Repeats a walk until it is certain what was deleted, or files keep moving. */
export async function lookUntilCertain(
  disk: SyncDisk,
  first: Looked,
  lookAgain: () => Promise<Looked>,
): Promise<Certain> {
  let missedBefore = new Set<string>();
  for (let [looked, walks] = [first, 1]; ; walks++) {
    const missed = missedBy(looked.matching);
    const unsure = missed.filter((entry) => !missedBefore.has(placeText(entry)));
    if (unsure.length === 0 || !(await hasChanged(disk, looked.walked))) return { ...looked, unsure: [] };
    if (walks === WALKS) return { ...looked, unsure };
    missedBefore = new Set(missed.map(placeText));
    looked = await lookAgain();
  }
}

function missedBy({ objects }: Matching): Entry[] {
  return objects.flatMap(({ entries, found, kept }) => (found.length + kept.length < entries.length ? entries : []));
}

/** Whether names in a directory changed since the walk looked at it. */
async function hasChanged(disk: SyncDisk, { root }: Walked): Promise<boolean> {
  for (const { path, stat } of within(root)) {
    if (stat.type !== "directory") continue;
    const now = await disk.look(path).catch(() => undefined);
    if (now === undefined || !looksSame(stat, now)) return true;
  }
  return false;
}

function looksSame(before: DiskStat, now: DiskStat): boolean {
  return before.ino === now.ino && before.mtimeNs === now.mtimeNs && before.ctimeNs === now.ctimeNs;
}

const WALKS = 4;
