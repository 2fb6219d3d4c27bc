/**
 * Collects what a bucket in an object store no longer needs (docs/design/retention.md). Two swaps: the first is of a
 * maintenance commit whose manifest no longer maps the packs that go and lists them as `dropping`; then they are deleted;
 * the second clears the list.
 *
 * Swaps decide all races. A commit before the first swap makes it fail, and the collection is planned anew on the new root.
 * Later writers find none of these packs mapped. No block depends on a clock or a lock.
 */
import type { Clock } from "../../base/clock.ts";
import { mapConcurrent } from "../../base/concurrency.ts";
import { isDamage, SynclineError } from "../../base/errors.ts";
import type { PackName } from "../../base/ids.ts";
import { BACKOFF_FIRST_MS, STORE_CONCURRENCY } from "../../base/limits.ts";
import { WordMemory } from "../../base/word-memory.ts";
import { BASES_LIFE_MS, LEASE_LIFE_MS } from "../../format/commits/lease.ts";
import { runName } from "../../format/blocks/object-name.ts";
import type { Retention } from "../../format/commits/retention.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { descends } from "../history.ts";
import { CollectionWriter } from "./collection-writer.ts";
import { type Amount, completionOf, sum } from "./estimate.ts";
import { type CollectionBase, readCollectionBase } from "./collection-base.ts";
import type { Held } from "./held.ts";
import { LostRoots } from "./lost-roots.ts";
import {
  type Claims,
  expiredClaims,
  type Inventory,
  mappedRows,
  type PassedOver,
  readClaims,
  takeInventory,
} from "./inventory.ts";
import { type Plan, Planner, type PlannerOptions } from "./planner.ts";
import { DROPPED_AT_ONCE } from "./victims.ts";

export interface CollectOptions extends Omit<PlannerOptions, "memory"> {
  readonly store: ObjectStore;
  /** Reports what would be done, and changes nothing. */
  readonly dryRun?: boolean;
  /** The most memory that lists of blocks may take. Default: no limit. */
  readonly memoryBytes?: number;
  /** Also deletes commits that followed a lost root (lost-roots.ts). */
  readonly acceptsLostRoots?: boolean;
  /** Called at the start of a step whose progress is not counted. */
  readonly onStep?: (what: string) => void;
}

export interface CollectReport {
  /** The rule of retention that the newest root names. */
  readonly retention: Retention;
  /** Retained before and after, the newest included. */
  readonly commits: { readonly before: number; readonly after: number };
  readonly objects: { readonly before: number; readonly after: number };
  readonly bytes: { readonly before: number; readonly after: number };
  /** Packs and commit objects that were deleted, or would be. */
  readonly dropped: number;
  /**
   * Bytes freed, or that would be: of the objects that this collection deleted, without what it wrote, regardless of other
   * writers. Negative only where it completed an earlier collection of which little was left.
   */
  readonly freedBytes: number;
  /** Whether it acted, or would: it does not act where the bucket would not shrink. */
  readonly isWorth: boolean;
  /** It completed an interrupted collection, or would. That is done at any cost. */
  readonly completed: boolean;
  /** What holds the remaining space; null where that is unknown. */
  readonly held: Held | null;
  /** Bytes that had to be written again. */
  readonly repackedBytes: number;
  readonly swaps: number;
  /** Unreadable leases and bases; it may have taken none of the packs that are leased. */
  readonly passedOver: readonly PassedOver[];
}

/** How long expired claims are left in place, so that clock differences remove no fresh claim. */
const EXPIRED_MS = 24 * 60 * 60 * 1000;

/**
 * Collects. Throws `root_moved` when other writers or another collector kept coming first; `limit_exceeded` past
 * `memoryBytes`; `root_rolled_back` if it would delete what followed a lost root; `block_not_found`, `block_corrupt` and
 * `store_corrupt` for a damaged bucket; and as publishing does.
 */
export async function collect(options: CollectOptions): Promise<CollectReport> {
  await using collection = new Collection(options);
  return await collection.run();
}

class Collection implements AsyncDisposable {
  readonly #options: CollectOptions;
  readonly #writer: CollectionWriter;
  readonly #planner: Planner;
  readonly #lostRoots: LostRoots;
  #gcEpoch: number | undefined;
  #swaps = 0;
  #dropped = 0;
  #deletedBytes = 0;

  constructor(options: CollectOptions) {
    this.#options = options;
    const memory = new WordMemory(options.memoryBytes);
    this.#writer = new CollectionWriter({ ...options, memory });
    this.#planner = new Planner({ ...options, memory }, this.#writer.directory);
    this.#lostRoots = new LostRoots(options.store, options.bucket);
  }

  async run(): Promise<CollectReport> {
    try {
      return await this.#run();
    } catch (error) {
      if (isDamage(error) && (await this.#isOvertaken())) throw overtaken(error);
      throw error;
    }
  }

  /** Whether another collector came first and deletes what this plan relies on. */
  async #isOvertaken(): Promise<boolean> {
    const { manifest } = (await this.#base()).object;
    return manifest.gcEpoch !== (this.#gcEpoch ?? manifest.gcEpoch);
  }

  async #run(): Promise<CollectReport> {
    const { store, dryRun = false, onStep } = this.#options;
    onStep?.("listing the objects");
    const before = await takeInventory(store);
    this.#gcEpoch = (await this.#base()).object.manifest.gcEpoch;
    const { object } = await this.#base();
    const { dropping } = object.manifest;
    if (!dryRun && dropping.length > 0) await this.#completeEarlier(before);
    const first = await this.#pass(dryRun);
    for (let more = first.more; more;) more = (await this.#pass(false)).more;
    const expired = await this.#expired(dryRun);
    const { history, estimate, isWorth } = first.plan;
    const kept = history.kept.length + 1;
    const common = {
      retention: history.retention,
      commits: { before: kept + history.thinned.length, after: isWorth ? kept : kept + history.thinned.length },
      isWorth,
      completed: dropping.length > 0,
      held: first.plan.held,
      passedOver: first.passedOver,
    };
    if (dryRun) {
      const left = dropping.flatMap((name) => before.packs.get(name) ?? []);
      const freed = sum([expired, ...left.map(amountOf), ...(isWorth ? [estimate.freed] : [])]);
      const completion = dropping.length > 0 ? [completionOf(first.plan.maintenance, object)] : [];
      const written = sum([...completion, ...(isWorth ? [estimate.written] : [])]);
      const bytes = before.bytes - freed.bytes + written.bytes;
      return {
        ...common,
        objects: { before: before.objects, after: before.objects - freed.objects + written.objects },
        bytes: { before: before.bytes, after: bytes },
        dropped: dropping.length + (isWorth ? estimate.packs : 0),
        freedBytes: before.bytes - bytes,
        repackedBytes: isWorth ? estimate.copied.bytes : 0,
        swaps: 0,
      };
    }
    // The lease would count as a remaining object.
    await this.#writer.release();
    await store.prune?.();
    const after = await takeInventory(store);
    return {
      ...common,
      objects: { before: before.objects, after: after.objects },
      bytes: { before: before.bytes, after: after.bytes },
      dropped: this.#dropped,
      freedBytes: this.#deletedBytes + expired.bytes - this.#writer.writtenBytes,
      repackedBytes: this.#writer.repacker.bytes,
      swaps: this.#swaps,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#writer[Symbol.asyncDispose]();
  }

  /** Plans until a swap takes place, then completes the collection. */
  async #pass(dryRun: boolean) {
    const { store, clock, random } = this.#options;
    // Objects before leases before the root: no swap can later map a listed object that is neither leased nor mapped.
    const inventory = await takeInventory(store);
    const nowMs = await this.#nowMs();
    const claims = await this.#claims(nowMs);
    const { passedOver } = claims;
    const sent: Plan[] = [];
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (attempt > 0)
        await clock.sleep(BACKOFF_FIRST_MS * Math.min(2 ** attempt, MAX_GROWTH) * (0.5 + random.fraction() / 2));
      this.#options.signal?.throwIfAborted();
      const base = await this.#base();
      const { gcEpoch } = base.object.manifest;
      let swapped = gcEpoch === this.#gcEpoch ? undefined : await this.#swappedIn(base, sent);
      if (swapped === undefined) {
        if (gcEpoch !== this.#gcEpoch) throw overtaken();
        const plan = await this.#planner.plan(base, inventory, claims, nowMs);
        if (plan.isWorth && this.#options.acceptsLostRoots !== true)
          await this.#lostRoots.refuse(base.commit, plan.unmapped);
        if (dryRun || !plan.isWorth) return { plan, passedOver, more: false };
        this.#options.onStep?.("repacking the live blocks of packs to drop");
        sent.push(plan);
        const outcome = await this.#writer.swapDropping(base, plan);
        if (outcome.kind === "committed") swapped = plan;
      }
      if (swapped === undefined) continue;
      this.#swaps++;
      this.#gcEpoch = (this.#gcEpoch ?? 0) + 1;
      const runs = inventory.runs.map(({ name }) => name);
      await this.#finish(inventory, runs);
      return { plan: swapped, passedOver, more: swapped.victims.length === DROPPED_AT_ONCE };
    }
    throw overtaken();
  }

  /** The sent plan whose swap took place though its answer was lost. Undefined: this root is another collector's. */
  async #swappedIn({ commit, object }: CollectionBase, sent: readonly Plan[]): Promise<Plan | undefined> {
    if (object.manifest.gcEpoch - (this.#gcEpoch ?? 0) !== 1) return undefined;
    for (const plan of sent) {
      const { cid, body } = plan.maintenance.made.verified;
      if ((await descends(this.#options.bucket, commit, { cid, seq: body.seq })) === "yes") return plan;
    }
    return undefined;
  }

  /**
   * Completes a collection that another process began. Marks first: what it left may be needed again after a repair. Then
   * the packs that hold what the bucket needs must be there.
   */
  async #completeEarlier(before: Inventory): Promise<void> {
    const nowMs = await this.#nowMs();
    const claims = await this.#claims(nowMs);
    const { live } = await this.#planner.plan(await this.#base(), before, claims, nowMs);
    for (const pack of live.uses.keys()) {
      if (!before.packs.has(pack) && (await this.#options.store.head(pack)) === undefined) throw lostPack(pack);
    }
    await this.#finish(before, []);
  }

  #claims(nowMs: number): Promise<Claims> {
    return readClaims(this.#options.store, nowMs - LEASE_LIFE_MS, nowMs - BASES_LIFE_MS);
  }

  /** Deletes what the root lists as dropping, and these runs if it does not list them. Then clears the list. */
  async #finish(inventory: Inventory, runs: readonly string[]): Promise<void> {
    const { store, clock, random } = this.#options;
    const begun = await this.#base();
    const { dropping, gcEpoch, runs: listed } = begun.object.manifest;
    const names = new Set(listed.map(({ id }) => runName(id)));
    await this.#checkUnmapped(begun);
    const gone = [...dropping, ...runs.filter((name) => !names.has(name))];
    if (gone.length > 0) this.#options.onStep?.("deleting unneeded objects");
    await mapConcurrent(gone, STORE_CONCURRENCY, (name) => store.delete(name));
    this.#dropped += dropping.length;
    this.#deletedBytes += bytesOf(inventory, new Set(gone));
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const base = await this.#base();
      const { manifest } = base.object;
      // The next collection finishes what this one leaves.
      if (manifest.dropping.length === 0 || manifest.gcEpoch !== gcEpoch) return;
      const outcome = await this.#writer.swapClearing(base);
      if (outcome.kind === "committed") this.#swaps++;
      else await clock.sleep(BACKOFF_FIRST_MS * Math.min(2 ** attempt, MAX_GROWTH) * (0.5 + random.fraction() / 2));
    }
  }

  /** Checks the dropping list against everything that the root maps before deleting. */
  async #checkUnmapped({ object }: CollectionBase): Promise<void> {
    const dropping = new Set(object.manifest.dropping);
    if (dropping.size === 0) return;
    for await (const { pack } of mappedRows(this.#writer.directory, object)) {
      if (!dropping.has(pack)) continue;
      throw new SynclineError(
        "store_corrupt",
        `${pack} is marked for deletion, but the bucket still needs it. Nothing was deleted.`,
        { hint: "Run `syncline verify --repair` on the bucket, and report this." },
      );
    }
  }

  /** The earlier of this machine's clock and the store's date. */
  async #nowMs(): Promise<number> {
    const { store, clock } = this.#options;
    return Math.min(millisOf(clock), Math.floor((await store.now()) ?? Infinity));
  }

  /**
   * Deletes expired leases and bases. One that is being written at this moment may go, too: its writer then finds out at
   * its next swap what was taken, as after any collection.
   */
  async #expired(dryRun: boolean): Promise<Amount> {
    const { store } = this.#options;
    const beforeMs = (await this.#nowMs()) - EXPIRED_MS;
    const expired: Amount[] = [];
    for await (const info of expiredClaims(store, beforeMs - LEASE_LIFE_MS, beforeMs - BASES_LIFE_MS)) {
      if (!dryRun) await store.delete(info.name);
      expired.push(amountOf(info));
    }
    return sum(expired);
  }

  #base(): Promise<CollectionBase> {
    return readCollectionBase(this.#options.bucket, this.#writer.directory);
  }
}

/** Attempts at a swap before the collector leaves the bucket to its writers. */
const ATTEMPTS = 32;
/** The longest pause between two attempts, in units of the first. */
const MAX_GROWTH = 32;

function overtaken(cause?: unknown): SynclineError {
  return new SynclineError("root_moved", "The bucket kept changing, so garbage collection gave up.", {
    hint: "Nothing was lost or collected. Try again when there are fewer writes, or let the other collector finish.",
    cause,
  });
}

function lostPack(pack: PackName): SynclineError {
  return new SynclineError("object_not_found", `${pack} is missing, which the bucket needs. Nothing was collected.`, {
    hint: "Run `syncline verify --repair` on the bucket, then collect again.",
  });
}

function amountOf({ size }: { readonly size: number }): Amount {
  return { objects: 1, bytes: size };
}

function bytesOf({ packs, runs }: Inventory, names: ReadonlySet<string>): number {
  return [...packs.values(), ...runs].reduce((sum, { name, size }) => sum + (names.has(name) ? size : 0), 0);
}

function millisOf(clock: Clock): number {
  return Number(clock.nowNs() / 1_000_000n);
}
