/** Publishes a scan: the folder's changes as an epoch. Without changes, the folder adopts the newest root. */
import type { Ino } from "../../base/ids.ts";
import type { RateLimit } from "../../base/rate-limit.ts";
import type { ChangeSet } from "../../fstree/change-set.ts";
import { changesTo } from "../../bucket/catch-up.ts";
import type { Conflict } from "../../fstree/merge/conflict.ts";
import { mergeSnapshots } from "../../fstree/merge/merge-snapshots.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import { changesFrom, differencesFrom } from "../../bucket/publish/changes-from.ts";
import type { PublishFigures, PublishOutcome } from "../../bucket/publish/outcome.ts";
import { Workspace } from "../../bucket/publish/workspace.ts";
import { birthId, splitId } from "../../format/files/keys.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { DiskPath, SyncDisk } from "../disk/disk.ts";
import { StillUnits } from "./still-units.ts";
import { behindUnits } from "./behind-units.ts";
import { DryContents } from "./dry-contents.ts";
import { changeSetOf, nextEpoch, publishLocal, type EpochContext } from "./epoch.ts";
import type { LocalChanges } from "../scan/local-changes.ts";
import { LocalData } from "../scan/local-content.ts";
import type { Matching } from "../scan/matching.ts";
import type { UsedRules } from "../scan/pass-rules.ts";
import { recordPublished, standOn, type Recorded } from "./record-published.ts";
import { forgetSent, forgetUnderWay, hasLateCome, mayHaveBeenSent } from "./sent-epochs.ts";
import { publishFailureOf } from "../pass-failure.ts";
import type { Unsure } from "../scan/missed.ts";
import type { Found, Walked } from "../scan/walk.ts";

export interface Scanned extends Unsure {
  readonly walked: Walked;
  readonly matching: Matching;
  readonly local: LocalChanges;
  /** When the scan began, by the clock. */
  readonly lookedNs: bigint;
  readonly scanMs: number;
}

/** The part of a scan that goes to the bucket. */
type Sent = Pick<Scanned, "matching" | "local">;

export interface Published {
  readonly conflicts: readonly Conflict[];
  /** What was sent but differs in the bucket. */
  readonly otherwise: readonly Found[];
  readonly figures: PublishFigures | undefined;
  /** Nodes of the folder's new base. */
  readonly shown: NodeStore;
}

export interface ScanContext extends EpochContext {
  readonly disk: SyncDisk;
  readonly rules: UsedRules;
  readonly units: UnitRules;
  /** For contents, in bytes per second. */
  readonly limit?: RateLimit | undefined;
  /** Ends waits for the limit. */
  readonly signal?: AbortSignal | undefined;
  /** Called with bytes read for the bucket, and whether a file ends with them. */
  readonly sent?: ((bytes: number, isEnd: boolean) => void) | undefined;
}

/** Why nothing was published: an epoch that was given up is now in the bucket, or the scan used outdated ignore rules. */
export type NotSent = "late" | "new rules";

/** Why nothing was published: files that changed, themselves or in their units, and files that cannot be read. */
export interface NotRead {
  readonly changed: readonly Pick<Found, "path">[];
  readonly unreadable: readonly Found[];
}

/**
 * Publishes nothing if files could not be read as they were, or as `NotSent` says. Throws as `publishFailureOf`, and
 * `precondition_failed` if the rules cannot be read.
 */
export async function publishScan(
  context: ScanContext,
  nodes: NodeStore,
  scanned: Sent,
): Promise<Published | NotRead | NotSent> {
  const { matching, local } = scanned;
  const { db, disk, limit, signal, sent } = context;
  if (await context.rules.areOutdated()) return "new rules";
  const sealed = await epochOf(context, nodes, scanned);
  if (sealed === undefined) return adopt(context, nodes, scanned);
  const { changes, beside } = sealed;
  await using data = new LocalData(disk, local.sources, { beside, limit, signal, sent });
  await using units = new StillUnits(context, matching, local);
  let outcome: PublishOutcome;
  try {
    outcome = await publishLocal(context, changes, local, data, units);
  } catch (error) {
    const notRead = await notReadOf(data, units.changed);
    if (notRead === undefined) throw error;
    // It may be in the bucket.
    if (mayHaveBeenSent(db, changes.epoch)) return "late";
    forgetUnderWay(db);
    return notRead;
  }
  if (outcome.kind === "device_reused" && outcome.epoch < changes.epoch) {
    forgetUnderWay(db);
    return "late";
  }
  if (outcome.kind !== "published") {
    if (outcome.figures.attempts === 0) forgetUnderWay(db);
    throw publishFailureOf(outcome);
  }
  const { epoch, conflicts, figures } = outcome;
  const otherwise = await db.transaction(async () => {
    const unlike = recordPublished(db, matching, local, {
      objects: epoch.objects,
      standIn: standInFor(context, changes),
    });
    await standOn(db, nodes, epoch.base);
    forgetSent(db, epoch.base.commit);
    return unlike;
  });
  return { conflicts, otherwise, figures, shown: nodes };
}

function besideOf({ observed, sources }: LocalChanges): ReadonlyMap<Ino, Found> {
  const files = observed.filter(({ object, found }) => found.stat.type === "file" && !sources.has(object.ino));
  return new Map(files.map(({ object, found }) => [object.ino, found]));
}

/** What publishing would result in, without an upload or a swap. Runs in the caller's transaction. */
export async function dryRunScan(
  context: ScanContext,
  nodes: NodeStore,
  scanned: Sent,
): Promise<Published | NotRead | "late"> {
  const { matching, local } = scanned;
  const { db, bucket, writer, disk, limit, signal, sent } = context;
  const sealed = await epochOf(context, nodes, scanned);
  if (sealed === undefined) return adopt(context, nodes, scanned);
  const { changes, beside } = sealed;
  await using data = new LocalData(disk, local.sources, { beside, limit, signal, sent });
  const { commit } = await bucket.head();
  const files = [...local.sources.values(), ...beside.values()];
  const changed = (file: Found) => void data.changed.push(file);
  const contents = new DryContents({ disk, content: bucket.contentConfig, files, stored: bucket.blocks, changed });
  const workspace = new Workspace(bucket, contents, mergeSnapshots, writer.device.writer, changes, data);
  let merged: Awaited<ReturnType<typeof workspace.treeOn>>;
  try {
    merged = await workspace.treeOn(commit);
  } catch (error) {
    const notRead = await notReadOf(data);
    if (notRead === undefined) throw error;
    return notRead;
  }
  const { tree, objects, conflicts } = merged;
  recordPublished(db, matching, local, { objects, standIn: standInFor(context, changes) });
  const { seq } = commit.body;
  const differing = await changesFrom(merged, tree, await differencesFrom(merged, tree));
  await standOn(db, merged.nodes, { commit: commit.cid, tree, seq, changes: differing });
  return { conflicts, otherwise: [], figures: undefined, shown: merged.nodes };
}

async function notReadOf(data: LocalData, inUnits: readonly DiskPath[] = []): Promise<NotRead | undefined> {
  const { unreadable } = data;
  const changed = [...data.changed, ...inUnits.map((path) => ({ path }))];
  if (unreadable.length > 0) await data.findUnreadable();
  return changed.length + unreadable.length === 0 ? undefined : { changed, unreadable };
}

/** Derived as for an object that is created twice and split: no other writer or epoch makes this id. */
function standInFor({ writer }: ScanContext, { epoch }: ChangeSet): Recorded["standIn"] {
  return ({ parent, name }, type) => splitId(parent, birthId(parent, name, type, 0), writer.device.writer, epoch);
}

/** An epoch, and files that it leaves unchanged but may have to read. */
interface Epoch {
  readonly changes: ChangeSet;
  readonly beside: ReadonlyMap<Ino, Found>;
}

async function epochOf(context: ScanContext, nodes: NodeStore, { matching, local }: Sent): Promise<Epoch | undefined> {
  const { db, bucket, writer } = context;
  if (local.changes.length === 0) return undefined;
  const { commit } = await bucket.head();
  const known = await bucket.heads.epochOf(commit.body, writer.device.writer);
  const behind = await behindUnits({ ...context, rules: context.rules.now }, nodes, matching, local);
  const changes = changeSetOf(db, local, behind, nextEpoch(db, known));
  return changes && { changes, beside: new Map([...besideOf(local), ...behind.files]) };
}

/** Without local changes: records how things look, and adopts the newest root. */
async function adopt(
  { db, bucket, writer }: ScanContext,
  nodes: NodeStore,
  { matching, local }: Sent,
): Promise<Published | "late"> {
  const otherwise = await db.transaction(() => recordPublished(db, matching, local, undefined));
  const base = db.base();
  const { commit } = await bucket.head();
  if (hasLateCome(db, await bucket.heads.epochOf(commit.body, writer.device.writer))) return "late";
  if (base !== undefined && base.commit !== commit.cid) {
    const next = await changesTo(bucket, nodes, base, commit, db.isEmpty());
    await db.transaction(() => standOn(db, nodes, next));
  }
  return { conflicts: [], otherwise, figures: undefined, shown: nodes };
}
