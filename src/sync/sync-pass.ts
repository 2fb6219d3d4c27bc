/**
 * One pass of folder sync: the folder's changes go to the bucket as an epoch like any writer's, then the bucket's changes
 * come to the folder. What cannot be done now is left to the next pass; no saved data is lost.
 */
import { SynclineError } from "../base/errors.ts";
import type { Cid, Lamport } from "../base/ids.ts";
import { describeError } from "../base/log.ts";
import { PUBLISH_CHUNK_CACHE_BYTES, PUBLISH_NODE_CACHE_BYTES } from "../base/limits.ts";
import { approvedDeletions } from "../bucket/approvals.ts";
import type { VerifiedCommit } from "../bucket/verified-commit.ts";
import { ChunkCache } from "../content/chunk-cache.ts";
import { UnitRules } from "../fstree/merge/units/unit-rules.ts";
import { NodeStore } from "../tree/node-store.ts";
import { noteArrived } from "./apply/arrived.ts";
import type { DiskPath } from "./disk/disk.ts";
import { forgetFilesBefore, missingMass, noteFilesBefore, type HeldDeletions } from "./deletion-limit.ts";
import { DEFAULT_POLICY } from "../format/commits/policy.ts";
import type { Entry } from "./known/entry.ts";
import { makeDurable } from "./scan/durable.ts";
import { standOnFirst } from "./publish/record-published.ts";
import { recoverEpoch } from "./publish/recover-epoch.ts";
import type { PassContext, PassResult } from "./pass-result.ts";
import { PassRules } from "./scan/pass-rules.ts";
import { findChanges } from "./scan/find-changes.ts";
import { matchKeepingMissing } from "./scan/keep-missing.ts";
import { withoutKept } from "./scan/kept-in-bucket.ts";
import { LeftOut, type LeftReason } from "./scan/left-out.ts";
import { withoutUnits } from "./scan/left-units.ts";
import { totalsOf, type LocalChanges } from "./scan/local-changes.ts";
import { hasRecord } from "./scan/local-content.ts";
import { resetFolder } from "./start-over.ts";
import { claimFolder, ensureOwnFolders, isSyncedApart, openFolder, requireMarker } from "./known/marker.ts";
import { match } from "./scan/match.ts";
import type { Matching } from "./scan/matching.ts";
import { lookUntilCertain, type Looked } from "./scan/missed.ts";
import { returnParked, showParked } from "./apply/parked.ts";
import { showRoot } from "./apply/show.ts";
import { publishPortions, type PortionsSent } from "./publish/publish-portions.ts";
import { publishScan, dryRunScan, type NotSent, type Published, type Scanned } from "./publish/publish-scan.ts";
import { unstable } from "./pass-failure.ts";
import { noteExchanged, redo } from "./apply/redo.ts";
import { clearIncoming } from "./apply/saved-meanwhile.ts";
import { WHOLE_PORTION } from "./scan/portion.ts";
import { walk, type Found, type Most } from "./scan/walk.ts";
import { waitingIn } from "./waiting.ts";

/** Throws as opening the folder does, `precondition_failed`, `foreign_bucket`, and why publishing failed. */
export async function syncPass(context: PassContext): Promise<PassResult> {
  const { db, disk, names } = context;
  await openFolder(db, disk, names);
  try {
    return await new SyncPass(context).run();
  } finally {
    disk.close();
  }
}

/** What a pass would do now, without doing it. Throws as `syncPass`. */
export async function dryRunPass(context: PassContext): Promise<PassResult> {
  const { db, disk, names } = context;
  await openFolder(db, disk, names);
  try {
    return await db.dryRun(() => new SyncPass(context, true).run());
  } finally {
    disk.close();
  }
}

class SyncPass {
  readonly #context: PassContext;
  readonly #nodes: NodeStore;
  readonly #leftOut = new LeftOut();
  readonly #isDryRun: boolean;
  readonly #portion: Most;
  /** What was sent in portions before the full scan. */
  #early: PortionsSent | undefined;
  readonly #rules: PassRules;
  #policy = DEFAULT_POLICY;
  #units = new UnitRules(DEFAULT_POLICY.units);
  readonly #again: boolean;

  constructor(context: PassContext, isDryRun = false) {
    this.#context = context;
    this.#isDryRun = isDryRun;
    this.#rules = new PassRules(context, isDryRun);
    this.#portion = context.portion ?? WHOLE_PORTION;
    this.#again = context.again ?? false;
    this.#nodes = new NodeStore(context.bucket.blocks, { capacityBytes: PUBLISH_NODE_CACHE_BYTES });
  }

  async run(): Promise<PassResult> {
    const { db, disk, bucket, names, random, clock, accept, log } = this.#context;
    const { cid } = bucket.genesis;
    if (this.#isDryRun) {
      if (db.base() !== undefined) await requireMarker(db, disk, cid, names);
    } else {
      await claimFolder(db, disk, cid, names, random);
      await ensureOwnFolders(disk);
      await redo({ db, disk });
      await returnParked(db, disk);
      await clearIncoming(db, disk);
      await noteExchanged(db);
      if (accept === true) await resetFolder(db, bucket, log);
    }
    await this.#rules.read();
    const head = await this.#head();
    await this.#rules.readComing(this.#nodes, head);
    await standOnFirst(db, this.#nodes, head);
    this.#policy = await bucket.policy(head);
    this.#units = new UnitRules(this.#policy.units);
    const isAsKnown = (path: DiskPath, entry: Pick<Entry, "record">) => this.#isAsKnown(path, entry);
    await this.#recover(head);
    await noteArrived({ db, disk, nodes: this.#nodes, isAsKnown, nowNs: () => clock.nowNs() });
    for (let attempt = 0; ; attempt++) {
      const all = await this.#scan();
      this.#rules.keep();
      const isSure = all.unsure.length === 0;
      const limited = { db, nodes: this.#nodes, rules: this.#rules.now, limit: this.#policy.guard };
      const mass = await missingMass(limited, isSure ? all.local.deletedFiles : []);
      const approved = mass !== undefined && mass.digest === this.#context.allowDeletes;
      const held = approved ? undefined : mass;
      const scanned = held === undefined && isSure ? all : await this.#keepMissing(all);
      const published = await this.#publish(scanned, approved, attempt < STILL_ATTEMPTS);
      if (typeof published !== "string") return this.#show(scanned, published, held);
      if (attempt === ATTEMPTS) throw unstable();
      if (published === "late") await this.#recover(await this.#head());
      if (published === "new rules") await this.#rules.readComing(this.#nodes, await this.#head());
    }
  }

  async #head(): Promise<VerifiedCommit> {
    const { db, disk, bucket, log } = this.#context;
    try {
      return (await bucket.head()).commit;
    } catch (error) {
      await this.#countWaiting();
      try {
        if (!this.#isDryRun) await showParked(db, disk);
      } catch (why) {
        log.warn("files that await their place stay hidden", { error: describeError(why) });
      }
      throw error;
    }
  }

  /** Counts what waits while the bucket is out of reach. Only logs errors: the pass has failed already. */
  async #countWaiting(): Promise<void> {
    if (this.#isDryRun || this.#context.progress?.mayCount?.() !== true) return;
    try {
      const looked = await this.#look(this.#portion);
      // Nothing is decided yet.
      await this.#context.db.dryRun(async () => {
        await this.#counted({ ...looked, matching: await this.#withoutKept(looked, false) });
      });
    } catch (error) {
      this.#context.log.info("Could not count the waiting changes.", { error: describeError(error) });
    }
  }

  /** Scans the folder; if very much is new, sends portions first and then scans the rest. */
  async #scan(): Promise<Scanned> {
    const { db, disk, clock, progress } = this.#context;
    using _looking = progress?.looking?.();
    let looked = await this.#look(this.#isDryRun ? undefined : this.#portion);
    if (looked.walked.isCut) {
      this.#early ??= await this.#sendPortions();
      looked = await this.#look();
    }
    const { seenTwice, ...sought } = await lookUntilCertain(db, disk, looked, () => this.#look());
    const certain = { ...sought, matching: await this.#withoutKept(sought, sought.unsure.length === 0) };
    this.#leftOut.add(seenTwice, "keeps changing");
    const scanMs = clock.monotonicMs() - certain.beganMs;
    progress?.found?.(certain.matching.objects.length);
    return { ...certain, scanMs, local: await this.#counted(certain) };
  }

  #withoutKept(looked: Looked, isSure: boolean): Promise<Matching> {
    const { db } = this.#context;
    return withoutKept({ db, nodes: this.#nodes, rules: this.#rules, units: this.#units }, looked, isSure);
  }

  async #look(most?: Most): Promise<Looked> {
    const { db, disk, clock } = this.#context;
    const [lookedNs, beganMs] = [clock.nowNs(), clock.monotonicMs()];
    const walked = await walk(disk, this.#rules.now, db, most, (...at) => isSyncedApart(this.#context, ...at));
    if (!this.#isDryRun) await this.#stillThere();
    const matching = db.reading(() => match(db, walked, this.#rules, walked.isCut));
    return { walked, matching, lookedNs, beganMs };
  }

  /** The same scan while its deletions await approval or are unsure: the bucket keeps what is missing here. */
  async #keepMissing({ walked, lookedNs, scanMs, unsure, awaited }: Scanned): Promise<Scanned> {
    const { db, clock } = this.#context;
    noteFilesBefore(db, this.#policy.guard);
    const kept = db.reading(() => matchKeepingMissing(db, walked, this.#rules));
    const local = await this.#counted({ ...kept, lookedNs, beganMs: clock.monotonicMs() });
    return { ...kept, lookedNs, scanMs, local, unsure, awaited };
  }

  /** If the disk was unplugged during the scan, its marker is gone, too. */
  #stillThere(): Promise<void> {
    const { db, disk, bucket, names } = this.#context;
    return requireMarker(db, disk, bucket.genesis.cid, names);
  }

  /** Finds the changes and reports them as waiting. */
  async #counted({ matching, lookedNs, beganMs }: Omit<Looked, "walked">): Promise<LocalChanges> {
    const { clock, progress } = this.#context;
    const local = await this.#changesIn(matching, lookedNs);
    progress?.waiting?.(waitingIn(local, matching, lookedNs), clock.monotonicMs() - beganMs);
    return local;
  }

  async #changesIn(matching: Matching, lookedNs: bigint): Promise<LocalChanges> {
    const { disk, bucket, attention } = this.#context;
    const block = (cid: Cid) => bucket.blocks.get(cid);
    const content = bucket.contentConfig;
    const leave = (found: Found, why: LeftReason) => this.#leftOut.add([found], why);
    const durable = this.#isDryRun ? undefined : makeDurable(disk, matching, lookedNs);
    try {
      const options = { disk, content, attention, block, unstable: this.#leftOut, leave, lookedNs };
      return withoutUnits(await findChanges(matching, options), matching, this.#units, this.#leftOut.paths());
    } finally {
      // The caller closes the disk after a failed pass.
      await durable;
    }
  }

  #sendPortions(): Promise<PortionsSent> {
    return publishPortions(
      {
        ...this.#context,
        sent: this.#context.progress?.sent,
        rules: this.#rules,
        units: this.#units,
        limits: this.#portion,
        unstable: this.#leftOut.paths(),
        stillThere: () => this.#stillThere(),
        changesIn: (looked) => this.#counted(looked),
        late: async () => this.#recover(await this.#head()),
        readRules: async () => this.#rules.readComing(this.#nodes, await this.#head()),
      },
      this.#nodes,
    );
  }

  #recover(head: VerifiedCommit): Promise<void> {
    return recoverEpoch(this.#context, this.#nodes, head, (path, entry) => this.#isAsKnown(path, entry));
  }

  /** "again": files changed while being read, or could not be read. */
  async #publish(scanned: Scanned, approved: boolean, mayRepeat: boolean): Promise<Published | NotSent | "again"> {
    this.#context.progress?.sending?.(totalsOf(scanned.local));
    const [rules, units, sent] = [this.#rules, this.#units, this.#context.progress?.sent];
    const context = { ...this.#context, rules, units, sent, approved };
    const published = await (this.#isDryRun ? dryRunScan : publishScan)(context, this.#nodes, scanned);
    if (typeof published === "string" || !("changed" in published)) return published;
    this.#leftOut.add(published.unreadable, "cannot be read");
    if (!mayRepeat) this.#leftOut.add(published.changed, "keeps changing");
    return "again";
  }

  /** `missing`: local deletions that await approval. */
  async #show(
    scanned: Scanned,
    { conflicts, figures, shown }: Published,
    missing: HeldDeletions | undefined,
  ): Promise<PassResult> {
    const { db, disk, bucket, attention, random, limit, clock, signal, progress, allowDeletes } = this.#context;
    const base = db.base();
    if (base === undefined) return this.#result(scanned, { conflicts, figures, held: missing });
    const [rules, units, again] = [this.#rules.now, this.#units, this.#again || this.#rules.haveChanged];
    const content = new ChunkCache(bucket.blocks, { capacityBytes: PUBLISH_CHUNK_CACHE_BYTES });
    const { plan, held, applied } = await showRoot(
      {
        db,
        disk,
        content,
        attention,
        random,
        limit,
        signal,
        rules,
        units,
        block: (cid) => bucket.blocks.get(cid),
        isAsKnown: (path, entry) => this.#isAsKnown(path, entry),
        nowNs: () => clock.nowNs(),
        isHeld: missing !== undefined,
        wrote: (bytes) => progress?.received?.(bytes),
        applied: (path) => progress?.applied?.(path),
      },
      { db, nodes: shown, tree: base.tree, walked: scanned.walked, rules, units, again },
      {
        most: this.#portion.things,
        isDryRun: this.#isDryRun,
        allowDeletes,
        deletionLimit: this.#policy.guard,
        approvedElsewhere: async (entries) =>
          approvedDeletions(bucket, shown, await bucket.commit(base.commit), this.#lastShown(), entries),
        applying: (places) => progress?.applying?.(places),
      },
    );
    db.setFact("awaited", scanned.awaited);
    if (held === undefined) db.setFact("shown", String(base.seq));
    if (held === undefined && missing === undefined) forgetFilesBefore(db);
    const hasNewRules = await this.#rules.willChange();
    return this.#result(scanned, { conflicts, figures, plan, applied, hasNewRules, held: missing ?? held });
  }

  /** The newest root whose deletions the folder has, or that had none awaiting approval. */
  #lastShown(): Lamport {
    return this.#context.db.count("shown") as Lamport;
  }

  #isAsKnown(path: DiskPath, { record }: Pick<Entry, "record">): Promise<boolean> {
    const { disk, bucket } = this.#context;
    return hasRecord(disk, path, record, { content: bucket.contentConfig, block: (cid) => bucket.blocks.get(cid) });
  }

  #result(
    { walked, local, scanMs, unsure }: Scanned,
    parts: Partial<Pick<Published, "conflicts" | "figures">> &
      Partial<Pick<PassResult, "held" | "plan" | "applied" | "hasNewRules">>,
  ): PassResult {
    const base = this.#context.db.base();
    if (base === undefined) throw new SynclineError("internal", "A pass ended without a base.");
    const { waiting, unstable, notSynced } = this.#leftOut.within(walked);
    return {
      local: local.changes,
      added: this.#early?.added ?? 0,
      conflicts: [...(this.#early?.conflicts ?? []), ...(parts.conflicts ?? [])],
      applied: parts.applied ?? { files: 0, removed: 0, left: [] },
      root: base.commit,
      held: parts.held,
      hasNewRules: parts.hasNewRules ?? false,
      unstable: [...unstable, ...unsure],
      unsent: waiting,
      plan: parts.plan ?? { puts: [], removals: [], left: [] },
      scanMs,
      notSynced,
      figures: parts.figures ?? this.#early?.figures,
    };
  }
}

/** How often a changing file is read again before it is left to the next pass. */
const STILL_ATTEMPTS = 3;
/** Changing files are left out after some attempts, and late epochs are few: more attempts mean a fault. */
const ATTEMPTS = 100;
