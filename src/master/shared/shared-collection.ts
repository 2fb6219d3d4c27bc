/**
 * One collection of an owner's garbage where several masters serve, none of which knows what the others do
 * (docs/design/many-masters.md):
 *
 * 1. Mark everything that the roots reach. Condemned packs that it reaches become live again.
 * 2. Delete what has been condemned for longer than a lease, in an era that was over before the marks began.
 * 3. Rewrite packs with much garbage, join small ones, and condemn what is replaced or unreached, which begins an era.
 * 4. Mark roots that were swapped meanwhile, as in 1.
 * 5. Delete objects that no log names, once they are too old to be entered.
 *
 * It may be killed at any point, and two may run at once: a root swapped before an era is seen by marks that begin after it,
 * and a root swapped later was checked in that era.
 */
import { type Arbiter, type LogEntry, PACK_STATES } from "../../arbiter/arbiter.ts";
import type { Clock } from "../../base/clock.ts";
import { inBatches, inPortions } from "../../base/collections.ts";
import { nextTurn } from "../../base/concurrency.ts";
import { SynclineError } from "../../base/errors.ts";
import { cidFromDigest } from "../../format/blocks/cid.ts";
import type { PackRow } from "../../format/blocks/pack.ts";
import type { Databases } from "../../objects/databases.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import type { CollectionReport } from "../gc/collection.ts";
import { CHANGED_PACKS } from "../limits.ts";
import { RootMarks } from "../gc/root-marks.ts";
import type { RootAlarm } from "../roots/root-alarm.ts";
import type { CollectionProgress } from "../store/owner-blocks.ts";
import { CollectionMarks } from "./collection-marks.ts";
import { logPages } from "./pack-log.ts";
import { objectOf, packOf } from "./pack-objects.ts";
import { type PackUse, RewritingPlan } from "./rewriting-plan.ts";
import { rewritePacks, type Rewriting } from "./rewrite-packs.ts";

export interface SharedCollectionOptions extends Rewriting {
  readonly arbiter: Arbiter;
  readonly objects: ObjectStore;
  readonly databases: Databases;
  readonly alarm: RootAlarm;
  readonly clock: Clock;
  readonly onProgress?: ((progress: CollectionProgress) => void) | undefined;
}

/** How many bytes of blocks are checked at once. */
const CHECKED_BYTES = 8 * 1024 * 1024;
/** Objects that no log names are deleted after so many leases: an upload may be entered for one of them. */
const ORPHAN_LEASES = 3;

/**
 * Throws `root_rolled_back` if the roots went back, `store_corrupt` if a root reaches missing or damaged blocks; then it has
 * deleted nothing. Throws whatever the arbiter and the store throw.
 */
export async function collectShared(options: SharedCollectionOptions, dryRun: boolean): Promise<CollectionReport> {
  const { blocks, databases } = options;
  return blocks.repair.run(async () => {
    // Packs missing from a cache that is being rebuilt must not count as garbage.
    const signal = AbortSignal.any([options.signal, blocks.repair.lost]);
    using marks = new CollectionMarks(blocks, databases);
    return await new SharedCollection({ ...options, signal }, marks).run(dryRun);
  });
}

class SharedCollection {
  readonly #options: SharedCollectionOptions;
  readonly #marks: CollectionMarks;
  readonly #roots: RootMarks;

  constructor(options: SharedCollectionOptions, marks: CollectionMarks) {
    this.#options = options;
    this.#marks = marks;
    const { arbiter, blocks } = options;
    this.#roots = new RootMarks({ ...options, roots: arbiter.roots, known: () => blocks.cache.roots, into: marks });
  }

  async run(dryRun: boolean): Promise<CollectionReport> {
    const { blocks, leaseMs } = this.#options;
    await this.#readLog();
    // Read before the roots: every root that is swapped later is checked in this era or a newer one.
    const { era } = blocks.cache;
    const packs = await this.#log();
    await this.#roots.check();
    await this.#markRoots();
    if (this.#roots.isEmpty) return reportOf([], [], 0);
    const nowMs = blocks.follower.earlierMs;
    const isOld = (pack: string) => nowMs - (packs.get(pack)?.createdMs ?? nowMs) > leaseMs;
    if (!dryRun) {
      await this.#keepReached();
      await this.#deleteCondemned(packs, era, nowMs);
    }
    const { uses, chosen } = await this.#plan(isOld);
    if (dryRun) return reportOf(uses, chosen.packs, chosen.bytes);
    const replaced = await rewritePacks(this.#options, chosen.packs);
    if (replaced.length > 0) {
      await this.#markRoots();
      await this.#keepReached();
    }
    await this.#deleteOrphans();
    return reportOf(uses, replaced, chosen.bytes);
  }

  /** If the log went back, this ends the collection. */
  async #readLog(): Promise<void> {
    await this.#options.blocks.follower.refresh();
    this.#options.signal.throwIfAborted();
  }

  /** Leaves out packs that were given up: a log may have far more of those. */
  async #log(): Promise<Map<string, LogEntry>> {
    const packs = new Map<string, LogEntry>();
    for await (const entries of logPages(this.#options.arbiter, this.#options.owner)) {
      for (const entry of entries) {
        // It may have been on an earlier page, too.
        if (entry.state === PACK_STATES.gone) packs.delete(entry.pack);
        else packs.set(entry.pack, entry);
      }
    }
    return packs;
  }

  async #markRoots(): Promise<void> {
    await this.#roots.mark();
    this.#options.blocks.cache.roots.advance(this.#roots.rows);
  }

  /** Makes condemned packs live again that hold the only copy of something marked. */
  async #keepReached(): Promise<void> {
    const { blocks, arbiter, owner } = this.#options;
    await this.#readLog();
    const reached: string[] = [];
    for (const { pack, state } of blocks.cache.packs()) {
      if (state !== PACK_STATES.condemned) continue;
      await this.#breathe();
      const { cache } = blocks;
      const isNeeded = cache.rowsOf(pack).some(({ digest }) => this.#marks.has(digest) && !cache.find(digest)?.isLive);
      if (isNeeded) reached.push(pack);
    }
    if (reached.length === 0) return;
    let live = 0;
    for (const packs of inPortions(reached, CHANGED_PACKS)) live += (await arbiter.packs.restore(owner, packs)).size;
    if (live < reached.length) {
      throw new SynclineError("store_corrupt", "A root reaches a pack that was deleted. Nothing more was collected.", {
        hint: "Run `syncline verify --repair` on the owner's buckets.",
      });
    }
    await this.#readLog();
  }

  /** Deletes what was condemned before the marks began, and for longer than a lease. */
  async #deleteCondemned(packs: ReadonlyMap<string, LogEntry>, era: number, nowMs: number): Promise<void> {
    const { arbiter, owner, objects, blocks, leaseMs, log } = this.#options;
    const condemned = [...packs.values()].filter(({ state }) => state === PACK_STATES.condemned);
    const old = condemned.filter(({ changedMs }) => changedMs < nowMs - leaseMs).map(({ pack }) => pack);
    // Nobody knows whether a pack that cannot be read now is needed.
    const due = old.filter((pack) => !blocks.cache.isUnread(pack));
    if (due.length === 0) return;
    await this.#checkCopies(due);
    for (const portion of inPortions(due, CHANGED_PACKS)) {
      this.#options.signal.throwIfAborted();
      const gone = await arbiter.packs.giveUp(owner, portion, { beforeMs: nowMs - leaseMs, era });
      for (const pack of gone) {
        await this.#breathe();
        blocks.cache.drop(pack);
        await objects.delete(objectOf(pack));
      }
      log.info("deleted packs", { owner, packs: gone.length });
    }
  }

  /**
   * Before packs are deleted, reads the copies of all blocks that are still needed from them. If a copy is damaged or lost,
   * the old pack becomes live again.
   */
  async #checkCopies(due: readonly string[]): Promise<void> {
    for (const pack of due) await this.#check(this.#marked(this.#options.blocks.cache.rowsOf(pack)));
    await this.#keepReached();
  }

  #marked(rows: readonly PackRow[]): PackRow[] {
    return rows.filter(({ digest }) => this.#marks.has(digest));
  }

  /** Afterwards, blocks without an intact copy count as missing. */
  async #check(rows: readonly PackRow[]): Promise<void> {
    for (const some of inBatches(rows, ({ length }) => length, { bytes: CHECKED_BYTES })) {
      await this.#breathe();
      await this.#options.blocks.check(some.map(({ digest }) => cidFromDigest("raw", digest)));
    }
  }

  /** Reads only copies because of which a pack would be condemned. If one is damaged, it plans again without that copy. */
  async #plan(isOld: (pack: string) => boolean): Promise<RewritingPlan> {
    const checked = new Set<string>();
    for (;;) {
      const plan = await this.#count(isOld);
      let isSound = true;
      for (const { pack, needed } of plan.chosen.packs) {
        if (checked.has(pack)) continue;
        checked.add(pack);
        if (!(await this.#isCopied(pack, needed))) isSound = false;
      }
      if (isSound) return plan;
    }
  }

  /** Whether all that is marked in this pack, besides what is needed, can be read intact from other packs. */
  async #isCopied(pack: string, needed: readonly PackRow[]): Promise<boolean> {
    const kept = new Set(needed.map(({ offset }) => offset));
    const others = this.#marked(this.#options.blocks.cache.rowsOf(pack)).filter(({ offset }) => !kept.has(offset));
    await this.#check(others);
    return this.#needed(pack, others).length === 0;
  }

  /** How much of each live pack is needed, if all copies are intact that are not known as damaged. */
  async #count(isOld: (pack: string) => boolean): Promise<RewritingPlan> {
    const { blocks } = this.#options;
    const plan = new RewritingPlan();
    for (const { pack, state, bytes } of blocks.cache.packs()) {
      if (state !== PACK_STATES.live) continue;
      await this.#breathe();
      const old = isOld(pack);
      const rows = blocks.cache.rowsOf(pack);
      // A later root may reach what is young.
      const needed = old ? this.#needed(pack, this.#marked(rows)) : rows;
      const total = rows.reduce((sum, { length }) => sum + length, 0);
      plan.add({ pack, bytes, blocks: rows.length, total, isOld: old }, needed);
    }
    // The marks found all that roots reach in other packs. What can be read again meanwhile is restored or deleted as usual.
    for (const { pack, bytes } of blocks.cache.lost()) {
      if (isOld(pack)) plan.add({ pack, bytes, blocks: 0, total: 0, isOld: true }, []);
    }
    return plan;
  }

  /** Those of the marked rows that must stay in this pack. Of several copies of a block, one counts. */
  #needed(pack: string, marked: readonly PackRow[]): PackRow[] {
    const { cache } = this.#options.blocks;
    return marked.filter(({ digest }) => (cache.find(digest)?.pack ?? pack) === pack);
  }

  /** Deletes objects that were never entered in the log, or given up. A failed listing ends the collection. */
  async #deleteOrphans(): Promise<void> {
    const { objects, arbiter, leaseMs, log, owner } = this.#options;
    const now = await objects.now();
    if (now === undefined) return;
    const old: string[] = [];
    for await (const { name, modifiedMs } of objects.list("pack/")) {
      const pack = packOf(name);
      if (pack !== undefined && modifiedMs < now - ORPHAN_LEASES * leaseMs) old.push(pack);
    }
    // Read after the listing, so that it names packs that were entered meanwhile.
    const packs = await this.#log();
    const orphans = old.filter((pack) => !packs.has(pack));
    if (orphans.length === 0) return;
    // The log may have gone back since the collection began, and then lacks packs that it had.
    await this.#readLog();
    for (const portion of inPortions(orphans, CHANGED_PACKS)) {
      // Before any delete: another master may enter what it finds in the store.
      for (const pack of await arbiter.packs.disown(owner, portion)) {
        await this.#breathe();
        await objects.delete(objectOf(pack));
        log.info("deleted a pack that no log names", { owner, pack });
      }
    }
  }

  async #breathe(): Promise<void> {
    await nextTurn();
    this.#options.signal.throwIfAborted();
  }
}

function reportOf(uses: readonly PackUse[], going: readonly PackUse[], copied: number): CollectionReport {
  const before = uses.reduce((sum, { total }) => sum + total, 0);
  const garbage = going.reduce((sum, { total, liveBytes }) => sum + total - liveBytes, 0);
  const blocks = going.reduce((sum, { blocks: all, liveBlocks }) => sum + all - liveBlocks, 0);
  return {
    blocks,
    blockBytes: garbage,
    packs: { before: uses.length, after: uses.length - going.length + (copied > 0 ? 1 : 0) },
    bytes: { before, after: before - garbage },
    dropped: going.length,
    repackedBytes: copied,
  };
}
