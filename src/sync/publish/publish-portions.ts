/** Very much that is new goes into the bucket in portions, an epoch each. What others changed comes to the folder behind the last one. */
import type { Conflict } from "../../fstree/merge/conflict.ts";
import type { PublishFigures } from "../../bucket/publish/outcome.ts";
import { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { noteFilesBefore } from "../deletion-limit.ts";
import type { DiskPath } from "../disk/disk.ts";
import { PARKED_ID } from "../disk/paths.ts";
import type { PassProgress } from "../pass-result.ts";
import { countNew } from "../scan/count-new.ts";
import type { IgnoreRules } from "../scan/ignore-rules.ts";
import type { LocalChanges } from "../scan/local-changes.ts";
import type { Matching } from "../scan/match.ts";
import { Portions } from "../scan/portion.ts";
import type { Most } from "../scan/walk.ts";
import { publishScan, type ScanContext } from "./publish-scan.ts";

export interface PortionsContext extends ScanContext {
  readonly rules: IgnoreRules;
  readonly limits: Most;
  readonly collect?: (() => void) | undefined;
  /** Files that did not hold still before. */
  readonly unstable: readonly DiskPath[];
  /** Throws where the folder is not the one that was synced: a disk that was unplugged while it was looked through. */
  readonly stillThere: () => Promise<void>;
  readonly changesIn: (matching: Matching, lookedNs: bigint) => Promise<LocalChanges>;
  readonly progress?: Pick<PassProgress, "found" | "sending"> | undefined;
  /** An epoch that was given up is in the bucket by now. */
  readonly late: () => Promise<void>;
}

export interface PortionsSent {
  /** New objects. */
  readonly added: number;
  readonly conflicts: readonly Conflict[];
  readonly figures: PublishFigures | undefined;
}

/** Sends what is new where that is more than one portion: less goes with the scan of all that follows. Throws as `publishScan`, and the signal's reason. */
export async function publishPortions(context: PortionsContext, nodes: NodeStore): Promise<PortionsSent> {
  const { db, disk, bucket, rules, limits, clock, signal, progress } = context;
  let sent: PortionsSent = { added: 0, conflicts: [], figures: undefined };
  // What waits for its place would wait for all of them.
  if (db.children(PARKED_ID).length > 0) return sent;
  const policy = await bucket.policy((await bucket.head()).commit);
  const portions = new Portions({ disk, rules, db, limits, units: new UnitRules(policy.units) });
  portions.leaveOut(context.unstable);
  let [told, lates, count] = [0, 0, 0];
  for (let isFirst = true; ; isFirst = false) {
    signal?.throwIfAborted();
    const lookedNs = clock.nowNs();
    const portion = await portions.next();
    if (isFirst && portion.isLast) return sent;
    if (isFirst) await tellAll(context);
    noteFilesBefore(db, policy.guard);
    await context.stillThere();
    told += portion.matching.objects.length;
    progress?.found?.(told);
    const local = await context.changesIn(portion.matching, lookedNs);
    const published = await publishScan(context, nodes, { matching: portion.matching, local });
    if (published === "late") {
      // More of them are for the scan of all, which knows when to give up.
      if (++lates > LATES) return sent;
      await context.late();
      continue;
    }
    if ("changed" in published) {
      portions.leaveOut([...published.changed, ...published.unreadable].map(({ path }) => path));
      continue;
    }
    const { conflicts, figures, otherwise } = published;
    const added = local.changes.filter(({ action }) => action === "added").length;
    sent = { added: sent.added + added, conflicts: sent.conflicts.concat(conflicts), figures };
    // The scan of all and the plan behind it know what to do with them.
    portions.leaveOut(otherwise.map(({ path }) => path));
    // Nothing of it went, as of a file that does not hold still: it is not to be told again.
    if (local.changes.length === 0) portions.leaveOut(newPaths(portion.matching));
    portions.sent(portion);
    if (++count % COLLECTED_AT_ONCE === 0) context.collect?.();
    if (portion.isLast) return sent;
  }
}

/** How much goes in all portions. */
async function tellAll({ db, disk, rules, progress }: PortionsContext): Promise<void> {
  // Counting costs a look at everything.
  if (progress?.sending !== undefined) progress.sending(await countNew(disk, rules, db));
}

function newPaths({ objects }: Matching): DiskPath[] {
  return objects.flatMap(({ id, found }) => (id === undefined ? found.map(({ path }) => path) : []));
}

/** Portions whose garbage is collected together: V8 alone lets it grow to a multiple of what is alive. */
const COLLECTED_AT_ONCE = 2;
/** Epochs that come late are few. */
const LATES = 8;
