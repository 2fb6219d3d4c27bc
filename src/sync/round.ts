/**
 * One round of a folder's sync: what changed in it goes to the bucket like any writer's epoch, and what the bucket has then comes to
 * the folder. What cannot be done now is left for the next round; nothing that was saved is given up.
 */
import { SynclineError } from "../base/errors.ts";
import { ROOT_ID, type Cid } from "../base/ids.ts";
import { describeError } from "../base/log.ts";
import { PUBLISH_CHUNK_CACHE_BYTES, PUBLISH_NODE_CACHE_BYTES } from "../base/limits.ts";
import type { VerifiedCommit } from "../bucket/bucket.ts";
import { lookup, peekDirectory, whenLoaded } from "../bucket/fs-reader.ts";
import type { Conflict } from "../bucket/merge/conflict.ts";
import { placeText } from "../bucket/object-rows.ts";
import type { PublishFigures } from "../bucket/publish/outcome.ts";
import { ChunkCache } from "../content/chunk-cache.ts";
import { failedWith } from "../objects/disk.ts";
import { NodeStore } from "../tree/node-store.ts";
import { applyPlan, type Applied } from "./apply/apply.ts";
import { noteArrived } from "./apply/arrived.ts";
import type { DiskPath, SyncDisk } from "./disk/disk.ts";
import { checkDeletions, type HeldDeletions } from "./deletion-limit.ts";
import type { Entry } from "./known/entry.ts";
import { makeDurable } from "./scan/durable.ts";
import { recoverEpoch } from "./publish/recover-epoch.ts";
import { NO_RULES, parseRules, type IgnoreRules } from "./scan/ignore-rules.ts";
import type { Attention } from "./scan/attributes.ts";
import { findChanges, type LocalChange } from "./scan/local-changes.ts";
import { contentOnDisk, sameContent } from "./scan/local-content.ts";
import { claimFolder, ensureOwnFolders, requireMarker, type FolderNames } from "./known/marker.ts";
import { match } from "./scan/match.ts";
import { returnParked, showParked } from "./apply/parked.ts";
import { IGNORE_FILE } from "./disk/paths.ts";
import { makePlan, type Plan } from "./apply/plan.ts";
import { publishScan, rehearseScan, type Published, type ScanContext, type Scanned } from "./publish/publish-scan.ts";
import { restless } from "./round-failure.ts";
import { noteExchanged, redo } from "./apply/redo.ts";
import { clearIncoming } from "./apply/saved-meanwhile.ts";
import { walk, type Found, type Walked } from "./scan/walk.ts";

export interface RoundContext extends Omit<ScanContext, "sent"> {
  readonly names: FolderNames;
  readonly attention: Attention;
  /** The digest of deletions that somebody said yes to. */
  readonly allowDeletes?: string | undefined;
  /** Looks again at what only somebody's deed can settle: in the first round. */
  readonly again?: boolean;
  readonly progress?: RoundProgress;
}

export interface RoundProgress {
  sent?(bytes: number): void;
  received?(bytes: number): void;
  applied?(path: DiskPath): void;
  /** Told how many things in the folder a scan has to do with. */
  found?(things: number): void;
  /** Told how many places are about to be written or removed, if any. */
  applying?(places: number): void;
}

export interface RoundResult {
  /** What went to the bucket. */
  readonly local: readonly LocalChange[];
  readonly conflicts: readonly Conflict[];
  readonly applied: Applied;
  /** The root that the folder stands on. */
  readonly root: Cid;
  /** Somebody has to say yes to deletions first. */
  readonly held: HeldDeletions | undefined;
  /** Files that did not hold still. */
  readonly restless: readonly DiskPath[];
  /** What was to be done in the folder; its `left` are places where the folder stays otherwise than the bucket, and why. */
  readonly plan: Plan;
  /** How long it took to look at the folder, without reading files. */
  readonly scanMs: number;
  readonly notSynced: Pick<Walked, "special" | "mounts" | "unreadable">;
  readonly figures: PublishFigures | undefined;
}

/** Throws what opening the folder does, `precondition_failed`, `foreign_bucket`, and what kept the epoch from the bucket. */
export async function syncRound(context: RoundContext): Promise<RoundResult> {
  const { disk } = context;
  await disk.open();
  try {
    return await new Round(context).run();
  } finally {
    disk.close();
  }
}

/** What a round would do now: all of it but the deeds. Throws as `syncRound`. */
export async function rehearseRound(context: RoundContext): Promise<RoundResult> {
  const { disk, db } = context;
  await disk.open();
  try {
    return await db.rehearse(() => new Round(context, true).run());
  } finally {
    disk.close();
  }
}

class Round {
  readonly #context: RoundContext;
  readonly #nodes: NodeStore;
  readonly #restless = new Set<string>();
  readonly #isRehearsal: boolean;
  #rules: IgnoreRules = NO_RULES;
  #again: boolean;

  constructor(context: RoundContext, isRehearsal = false) {
    this.#context = context;
    this.#isRehearsal = isRehearsal;
    this.#again = context.again ?? false;
    this.#nodes = new NodeStore(context.bucket.blocks, { capacityBytes: PUBLISH_NODE_CACHE_BYTES });
  }

  async run(): Promise<RoundResult> {
    const { db, disk, bucket, names, random, clock } = this.#context;
    const { cid } = bucket.genesis;
    if (this.#isRehearsal) {
      if (db.base() !== undefined) await requireMarker(db, disk, cid, names);
    } else {
      await claimFolder(db, disk, cid, names, random);
      await ensureOwnFolders(disk);
      await redo({ db, disk });
      await returnParked(db, disk);
      await clearIncoming(db, disk);
      await noteExchanged(db);
    }
    await this.#readRules();
    const head = await this.#head();
    await this.#firstBase(head);
    const isAsKnown = (path: DiskPath, entry: Pick<Entry, "record">) => this.#isAsKnown(path, entry);
    await recoverEpoch(this.#context, this.#nodes, head, isAsKnown);
    await noteArrived({ db, disk, nodes: this.#nodes, isAsKnown, nowNs: () => clock.nowNs() });
    for (let attempt = 0; ; attempt++) {
      const scanned = await this.#scan();
      const deleted = await this.#leftInBucket(scanned.local.deletedFiles);
      const held = checkDeletions("bucket", deleted, db.countFiles(), this.#context.allowDeletes);
      if (held !== undefined) return this.#result(scanned, { held });
      const published = await this.#publish(scanned, attempt < STILL_ATTEMPTS);
      if (published !== "late" && published !== "again") return this.#show(scanned, published);
      if (attempt === ATTEMPTS) throw restless();
      if (published === "late") await recoverEpoch(this.#context, this.#nodes, await this.#head(), isAsKnown);
    }
  }

  async #readRules(): Promise<void> {
    const { db, disk } = this.#context;
    this.#rules = await parseRules(await readText(disk, [IGNORE_FILE]));
    if (db.fact("rules") === this.#rules.digest) return;
    this.#again = true;
    db.setFact("rules", this.#rules.digest);
  }

  async #head(): Promise<VerifiedCommit> {
    const { db, disk, bucket, log } = this.#context;
    try {
      return (await bucket.head()).commit;
    } catch (error) {
      try {
        if (!this.#isRehearsal) await showParked(db, disk);
      } catch (why) {
        log.warn("what waits for its place stays out of sight", { error: describeError(why) });
      }
      throw error;
    }
  }

  /** A folder that was never synced stands on the bucket's root, of which it shows nothing yet: both are united. */
  async #firstBase(head: VerifiedCommit): Promise<void> {
    const { db } = this.#context;
    if (db.base() !== undefined) return;
    const { cid, body } = head;
    // Of an empty bucket and a folder that shows nothing of it nothing differs.
    const isEmpty =
      (await whenLoaded(this.#nodes, () => peekDirectory(this.#nodes, body.tree, ROOT_ID, undefined, 1))).length === 0;
    await db.transaction(() => {
      db.setBase({ commit: cid, tree: body.tree, seq: body.seq });
      if (!isEmpty) db.setFact("compare all", "yes");
    });
  }

  async #scan(): Promise<Scanned> {
    const { db, disk, bucket, clock, attention, names } = this.#context;
    const [lookedNs, beganMs] = [clock.nowNs(), clock.monotonicMs()];
    const walked = await walk(disk, this.#rules, db);
    // A disk that was unplugged while it was walked has lost its marker, too.
    if (!this.#isRehearsal) await requireMarker(db, disk, bucket.genesis.cid, names);
    const matching = db.reading(() => match(db, walked, this.#rules));
    const scanMs = clock.monotonicMs() - beganMs;
    this.#context.progress?.found?.(matching.objects.length);
    const block = (cid: Cid) => bucket.blocks.get(cid);
    const content = bucket.contentConfig;
    const durable = this.#isRehearsal ? undefined : makeDurable(disk, matching, lookedNs);
    try {
      const options = { disk, content, attention, block, restless: this.#restless, lookedNs };
      return { walked, matching, scanMs, local: await findChanges(matching, options) };
    } finally {
      // The disk is closed behind a round that fails.
      await durable;
    }
  }

  /** Without what the root does not have any more either: a run took it away, and died before it noted that. */
  async #leftInBucket(deleted: readonly Entry[]): Promise<Entry[]> {
    const { db } = this.#context;
    const tree = db.base()?.tree;
    const behind = new Set(db.unsettled().map(placeText));
    const left: Entry[] = [];
    for (const entry of deleted) {
      const isBehind = tree !== undefined && behind.has(placeText(entry));
      if (!isBehind || (await lookup(this.#nodes, tree, entry))?.id === entry.id) left.push(entry);
    }
    return left;
  }

  /** "again": files changed while they were read. */
  async #publish(scanned: Scanned, mayRepeat: boolean): Promise<Published | "again" | "late"> {
    const context = { ...this.#context, sent: this.#context.progress?.sent };
    if (this.#isRehearsal) return rehearseScan(context, this.#nodes, scanned);
    const published = await publishScan(context, this.#nodes, scanned);
    if (published === "late" || !("changed" in published)) return published;
    if (!mayRepeat) for (const { path } of published.changed) this.#restless.add(path.join("/"));
    return "again";
  }

  async #show(scanned: Scanned, { conflicts, figures, shown }: Published): Promise<RoundResult> {
    const { db, disk, bucket, attention, random, limit, clock, signal, progress, allowDeletes } = this.#context;
    const tree = db.base()?.tree;
    if (tree === undefined) return this.#result(scanned, { conflicts, figures });
    const plan = await db.transaction(() => {
      return makePlan({ db, nodes: shown, tree, rules: this.#rules, again: this.#again });
    });
    const removed = plan.removals.map(({ entry }) => entry);
    const held = checkDeletions("folder", removed, db.countFiles(), allowDeletes);
    if (held !== undefined) return this.#result(scanned, { conflicts, figures, held, plan });
    if (this.#isRehearsal) return this.#result(scanned, { conflicts, figures, plan });
    if (plan.puts.length + plan.removals.length > 0) progress?.applying?.(plan.puts.length + plan.removals.length);
    const content = new ChunkCache(bucket.blocks, { capacityBytes: PUBLISH_CHUNK_CACHE_BYTES });
    const applied = await applyPlan(
      {
        db,
        disk,
        content,
        attention,
        random,
        limit,
        signal,
        block: (cid) => bucket.blocks.get(cid),
        isAsKnown: (path, entry) => this.#isAsKnown(path, entry),
        nowNs: () => clock.nowNs(),
        wrote: (bytes) => progress?.received?.(bytes),
        applied: (path) => progress?.applied?.(path),
      },
      plan,
    );
    return this.#result(scanned, { conflicts, figures, plan, applied });
  }

  async #isAsKnown(path: DiskPath, { record }: Pick<Entry, "record">): Promise<boolean> {
    const { disk, bucket } = this.#context;
    const stat = await disk.look(path);
    if (stat?.type !== record.type || stat.size !== record.size) return false;
    if (record.type !== "file") return true;
    const name = path.at(-1);
    if (name === undefined) return false;
    const found: Found = { path, stat, parent: undefined, name, children: [], closed: false };
    const content = await contentOnDisk(disk, found, bucket.contentConfig);
    return content !== undefined && sameContent(content, record.content);
  }

  #result(
    { walked, local, scanMs }: Scanned,
    parts: Partial<Pick<Published, "conflicts" | "figures">> & { held?: HeldDeletions; plan?: Plan; applied?: Applied },
  ): RoundResult {
    const { special, mounts, unreadable } = walked;
    const base = this.#context.db.base();
    if (base === undefined) throw new SynclineError("internal", "A round ended without a base.");
    const restless = [...walkedPaths(walked.root)].filter((path) => this.#restless.has(path.join("/")));
    return {
      local: parts.held?.where === "bucket" ? [] : local.changes,
      conflicts: parts.conflicts ?? [],
      applied: parts.applied ?? { files: 0, removed: 0, left: [] },
      root: base.commit,
      held: parts.held,
      restless,
      plan: parts.plan ?? { puts: [], removals: [], left: [] },
      scanMs,
      notSynced: { special, mounts, unreadable },
      figures: parts.figures,
    };
  }
}

/** So often a file that changes while it is read is read again; then it is left for the next round. */
const STILL_ATTEMPTS = 3;
/** Files that change are left out after some attempts, and epochs that come late are few: more is a fault, and no reason to go on for ever. */
const ATTEMPTS = 100;

function* walkedPaths(found: Found): Generator<DiskPath> {
  yield found.path;
  for (const child of found.children) yield* walkedPaths(child);
}

async function readText(disk: SyncDisk, path: DiskPath): Promise<string> {
  try {
    const file = await disk.read(path);
    try {
      const { size } = await file.stat();
      return Buffer.from(await file.read(0, size)).toString("utf8");
    } finally {
      await file.close();
    }
  } catch (error) {
    if (failedWith(error, "ENOENT", "ELOOP", "EISDIR")) return "";
    throw error;
  }
}
