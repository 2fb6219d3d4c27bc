/** All roots of a master: reads, even while the arbiter is unreachable, and checked swaps, one a bucket at a time. */
import { BoundedMap } from "../../base/bounded-map.ts";
import { timeText } from "../../base/clock.ts";
import { KeyedQueues } from "../../base/concurrency.ts";
import { hasCode } from "../../base/errors.ts";
import type { Cid, Wallet } from "../../base/ids.ts";
import { CHECKS_AT_ONCE, OWNER_CHECKS_AT_ONCE } from "../limits.ts";
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import { bucketKey } from "../../roots/root-store.ts";
import type { BucketName, Root, RootRow, RootTable, SwapOutcome } from "../../roots/root-store.ts";
import { Refusal } from "../http/refusal.ts";
import { FairBudget } from "../../http/fair-budget.ts";
import type { OtherMasters } from "../storage.ts";
import type { BlockStores, OwnerBlocks } from "../store/owner-blocks.ts";
import { conditionHolds, type SwapCondition } from "./condition.ts";
import type { RootAlarm } from "./root-alarm.ts";
import { RootFollower } from "./root-follower.ts";
import { RootHub } from "./root-hub.ts";
import { SwapGate } from "./swap-gate.ts";
import { SwapCheck } from "./swap-check.ts";

export interface BucketRootsOptions extends Pick<Ports, "clock" | "log"> {
  readonly roots: RootTable;
  readonly stores: BlockStores;
  readonly alarm: RootAlarm;
  /**
   * False: the last swap wins, and others' work is lost. Safe with a single writer; it exists so that a drill can show what
   * the comparison prevents.
   */
  readonly compareAndSwap: boolean;
}

/** A bucket whose name is validated. */
export interface OwnedBucket extends BucketName {
  readonly owner: Wallet;
}

/** `stale`: the arbiter is unreachable, and this is its last known answer. */
export interface KnownRoot extends RootRow {
  readonly stale: boolean;
}

export class BucketRoots {
  readonly hub = new RootHub();
  readonly gate = new SwapGate();
  readonly #options: BucketRootsOptions;
  readonly #check: SwapCheck;
  readonly #swaps = new KeyedQueues();
  /** Each check holds memory: an owner of many buckets delays only their own checks. */
  readonly #checks = new FairBudget(CHECKS_AT_ONCE, OWNER_CHECKS_AT_ONCE);
  readonly #known = new BoundedMap<string, RootRow>(ROOTS_REMEMBERED);

  constructor(options: BucketRootsOptions) {
    this.#options = options;
    this.#check = new SwapCheck(options.clock, options.compareAndSwap);
    if (!options.compareAndSwap) {
      options.log.warn(
        "Roots are swapped WITHOUT comparing: one of two concurrent writers loses its work. For drills only.",
      );
    }
  }

  /** Undefined: no such bucket. Throws `arbiter_unreachable` if no earlier answer is known either. */
  async read(name: OwnedBucket): Promise<KnownRoot | undefined> {
    try {
      const row = await this.#options.roots.row(name);
      if (row !== undefined) this.#remember(name, row);
      return row && { ...row, stale: false };
    } catch (error) {
      const known = this.#known.get(bucketKey(name));
      if (known === undefined || !hasCode(error, "arbiter_unreachable")) throw error;
      return { ...known, stale: true };
    }
  }

  /** Tells watchers what other masters swap, until disposed. */
  follow(others: OtherMasters): Disposable {
    const { roots, clock } = this.#options;
    return new RootFollower({ roots, hub: this.hub, others, clock });
  }

  list(owner: Wallet, after: string, limit: number): Promise<RootRow[]> {
    return this.#options.roots.list(owner, after, limit);
  }

  blocksOf(owner: Wallet): Promise<OwnerBlocks> {
    return this.#options.stores.of(owner);
  }

  /**
   * Checks and swaps; need not begin once `abandoned` aborts. Throws a Refusal: `conflict`, those of SwapCheck, or
   * `arbiter_unreachable` for an unknown outcome. Throws the error `arbiter_unreachable` if the swap did not happen.
   */
  async swap(name: OwnedBucket, condition: SwapCondition, next: Cid, abandoned: AbortSignal): Promise<Root> {
    // A late caller should hear of its conflict without queueing.
    await this.#replaced(name, condition);
    return this.#swaps.run(bucketKey(name), async () => {
      abandoned.throwIfAborted();
      using _slot = await this.#checks.hold(name.owner, 1, abandoned);
      using _pass = await this.gate.pass(name.owner, abandoned);
      const root = await this.#swapNow(name, condition, next);
      await this.#tellIndex(name, root);
      const updatedAt = timeText(this.#options.clock.nowNs()).replace(/\.\d+/, "");
      this.#remember(name, { ...root, bucket: name.bucket, updatedAt });
      this.hub.tell(name, root);
      return root;
    });
  }

  /** Runs after the swap, which stands whatever happens here. */
  async #tellIndex({ owner, bucket }: OwnedBucket, root: Root): Promise<void> {
    const { stores, alarm, log } = this.#options;
    try {
      const blocks = await stores.of(owner);
      if (!(await blocks.swapped(bucket, root))) alarm.raise(owner, [bucket]);
    } catch (error) {
      log.warn("could not record a swap in its owner's block index", { error: describeError(error) });
    }
  }

  /** Answers may arrive out of order: older roots are ignored. */
  #remember(name: OwnedBucket, row: RootRow): void {
    const key = bucketKey(name);
    if (row.version >= (this.#known.get(key)?.version ?? 0)) this.#known.set(key, row);
  }

  /** The root that the swap would replace. Throws a Refusal (`conflict`) if the condition does not name it. */
  async #replaced(name: OwnedBucket, condition: SwapCondition): Promise<Cid | undefined> {
    const current = await this.#options.roots.get(name);
    if (this.#options.compareAndSwap && !conditionHolds(condition, current?.commit)) throw conflictWith(current);
    return current?.commit;
  }

  async #swapNow(name: OwnedBucket, condition: SwapCondition, next: Cid): Promise<Root> {
    const { roots, stores, compareAndSwap } = this.#options;
    const blocks = await stores.of(name.owner);
    for (;;) {
      const era = await blocks.era();
      const current = await this.#replaced(name, condition);
      const refusal = await this.#check.refusalOf({ owner: name.owner, blocks, era, current, next });
      if (refusal !== undefined) throw refusal;
      const swapped = await roots.swapInEra(name, current, next, era);
      if (swapped.kind === "check again") continue;
      const outcome = await this.#resolve(name, next, swapped);
      if (outcome.kind === "committed") return outcome.root;
      if (outcome.kind === "unknown") throw this.#unknown(name, outcome.cause);
      // Someone else writes to the same arbiter.
      if (compareAndSwap) throw conflictWith(outcome.current);
    }
  }

  /** Resolves an unknown swap outcome: reading usually tells. */
  async #resolve(name: OwnedBucket, next: Cid, outcome: SwapOutcome): Promise<SwapOutcome> {
    if (outcome.kind !== "unknown") return outcome;
    try {
      const root = await this.#options.roots.get(name);
      return root?.commit === next ? { kind: "committed", root } : outcome;
    } catch (error) {
      if (hasCode(error, "arbiter_unreachable")) return outcome;
      throw error;
    }
  }

  #unknown(name: OwnedBucket, cause: unknown): Refusal {
    this.#options.log.error("The outcome of a swap is unknown.", { ...name, cause: describeError(cause) });
    const message = "The outcome of the swap is unknown. Read the root before you retry.";
    return new Refusal("arbiter_unreachable", message, { details: { outcome: "unknown" }, cause });
  }
}

const ROOTS_REMEMBERED = 10_000;

function conflictWith(current: Root | undefined): Refusal {
  const message =
    current === undefined
      ? "This bucket does not exist: create it with If-None-Match: *."
      : "The current root is a different one: merge with `current`, then swap again from there.";
  return new Refusal("conflict", message, {
    details: { current: current?.commit ?? null, version: current?.version ?? null },
  });
}
