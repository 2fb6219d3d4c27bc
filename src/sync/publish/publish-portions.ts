/** Publishes very many new files in portions, one epoch each. Others' changes come to the folder after the last one. */
import type { Conflict } from "../../fstree/merge/conflict.ts";
import type { PublishFigures } from "../../bucket/publish/outcome.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { noteFilesBefore } from "../deletion-limit.ts";
import type { DiskPath } from "../disk/disk.ts";
import { PARKED_ID } from "../disk/paths.ts";
import { isSyncedApart } from "../known/marker.ts";
import type { PassProgress } from "../pass-result.ts";
import { countNew } from "../scan/count-new.ts";
import type { LocalChanges } from "../scan/local-changes.ts";
import type { Matching } from "../scan/matching.ts";
import type { Looked } from "../scan/missed.ts";
import { Portions } from "../scan/portion.ts";
import type { IsApart, Most } from "../scan/walk.ts";
import { publishScan, type ScanContext } from "./publish-scan.ts";

export interface PortionsContext extends ScanContext {
  readonly limits: Most;
  readonly collect?: (() => void) | undefined;
  /** Files that kept changing before. */
  readonly unstable: readonly DiskPath[];
  /** Throws if the folder is not the one that was synced, as when its disk was unplugged during the scan. */
  readonly stillThere: () => Promise<void>;
  readonly changesIn: (looked: Omit<Looked, "walked">) => Promise<LocalChanges>;
  readonly progress?: Pick<PassProgress, "found" | "sending"> | undefined;
  /** An epoch that was given up is now in the bucket. */
  readonly late: () => Promise<void>;
  /** Reads the rules again. */
  readonly readRules: () => Promise<void>;
}

export interface PortionsSent {
  /** New objects. */
  readonly added: number;
  readonly conflicts: readonly Conflict[];
  readonly figures: PublishFigures | undefined;
}

/**
 * Sends new files if they exceed one portion; fewer go with the full scan that follows. Throws as `publishScan`, and the
 * signal's reason.
 */
export async function publishPortions(context: PortionsContext, nodes: NodeStore): Promise<PortionsSent> {
  const { db, disk, bucket, rules, units, limits, clock, signal, progress } = context;
  let sent: PortionsSent = { added: 0, conflicts: [], figures: undefined };
  // A parked object would otherwise wait for all portions.
  if (db.children(PARKED_ID).length > 0) return sent;
  const policy = await bucket.policy((await bucket.head()).commit);
  const isApart: IsApart = (...at) => isSyncedApart(context, ...at);
  const portions = new Portions({ disk, rules, db, limits, units, isApart });
  portions.leaveOut(context.unstable);
  let [told, repeats, count] = [0, 0, 0];
  for (let isFirst = true; ; isFirst = false) {
    signal?.throwIfAborted();
    const [lookedNs, beganMs] = [clock.nowNs(), clock.monotonicMs()];
    const portion = await portions.next();
    if (isFirst && portion.isLast) return sent;
    if (isFirst) await tellAll(context, isApart);
    noteFilesBefore(db, policy.guard);
    await context.stillThere();
    told += portion.matching.objects.length;
    progress?.found?.(told);
    const local = await context.changesIn({ matching: portion.matching, lookedNs, beganMs });
    const published = await publishScan(context, nodes, { matching: portion.matching, local });
    if (typeof published === "string") {
      // Any more are left to the full scan, which knows when to give up.
      if (++repeats > REPEATS) return sent;
      await (published === "late" ? context.late() : context.readRules());
      continue;
    }
    if ("changed" in published) {
      portions.leaveOut([...published.changed, ...published.unreadable].map(({ path }) => path));
      continue;
    }
    const { conflicts, figures, otherwise } = published;
    const added = local.changes.filter(({ action }) => action === "added").length;
    sent = { added: sent.added + added, conflicts: sent.conflicts.concat(conflicts), figures };
    // The full scan and the plan after it handle these.
    portions.leaveOut(otherwise.map(({ path }) => path));
    // Nothing of it was sent, as when a file keeps changing: portions skip it from now on.
    if (local.changes.length === 0) portions.leaveOut(newPaths(portion.matching));
    portions.sent(portion);
    if (++count % COLLECTED_AT_ONCE === 0) context.collect?.();
    if (portion.isLast) return sent;
  }
}

/** Reports the total of all portions. */
async function tellAll({ db, disk, rules, progress }: PortionsContext, isApart: IsApart): Promise<void> {
  // Counting reads the whole folder.
  if (progress?.sending !== undefined) progress.sending(await countNew(disk, rules.now, db, isApart));
}

function newPaths({ objects }: Matching): DiskPath[] {
  return objects.flatMap(({ id, found }) => (id === undefined ? found.map(({ path }) => path) : []));
}

/** Portions per garbage collection: V8 alone lets garbage grow to several times the live data. */
const COLLECTED_AT_ONCE = 2;
/** Late epochs and new rules are few. */
const REPEATS = 8;
