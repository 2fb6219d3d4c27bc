/** A master's store with its roots, for collections: without HTTP, on a test's disk and clock. */
import { join } from "node:path";
import type { Wallet } from "../../src/base/ids.ts";
import type { CommitBody } from "../../src/format/commits/commit-body.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Random } from "../../src/base/random.ts";
import { systemRandom } from "../../src/base/random.ts";
import { type CollectionOptions, type CollectionReport, collectOwner } from "../../src/master/gc/collection.ts";
import { BucketRoots } from "../../src/master/roots/bucket-roots.ts";
import { RootAlarm } from "../../src/master/roots/root-alarm.ts";
import { auditData } from "../../src/master/store/audit.ts";
import { openMasterStore } from "../../src/master/store/master-store.ts";
import type { BlockStores, CollectedBlocks } from "../../src/master/store/owner-blocks.ts";
import { type PackDisk, systemPackDisk } from "../../src/master/store/pack-disk.ts";
import { SqliteRootStore } from "../../src/roots/sqlite-root-store.ts";
import { nodeBlock } from "./commit-chain.ts";
import type { CommitChain, MadeCommit } from "./commit-chain.ts";
import type { ManualClock } from "./manual-clock.ts";

export const LEASE_SECONDS = 24 * 3600;
/** After this time no earlier lease is valid. */
export const LATER_MS = 2 * LEASE_SECONDS * 1000;

export interface CollectedMasterOptions {
  readonly dir: string;
  readonly clock: ManualClock;
  readonly disk?: PackDisk;
  readonly random?: Random;
  readonly packBytes?: number;
}

export class CollectedMaster implements AsyncDisposable {
  readonly swaps: BucketRoots;
  readonly #options: CollectedMasterOptions;
  readonly #stores: BlockStores<CollectedBlocks>;
  readonly roots: SqliteRootStore;
  readonly alarm = new RootAlarm(silentLog);
  readonly #end = new AbortController();

  private constructor(options: CollectedMasterOptions, stores: BlockStores<CollectedBlocks>) {
    const { dir, clock } = options;
    this.#options = options;
    this.#stores = stores;
    this.roots = new SqliteRootStore(join(dir, "roots.db"));
    const { roots, alarm } = this;
    this.swaps = new BucketRoots({ roots, stores, clock, log: silentLog, alarm, compareAndSwap: true });
  }

  static async open(options: CollectedMasterOptions): Promise<CollectedMaster> {
    const { dir, clock, disk = systemPackDisk, random = systemRandom, packBytes = 20_000 } = options;
    const stores = await openMasterStore({
      dir,
      clock,
      random,
      disk,
      packBytes,
      log: silentLog,
      leaseSeconds: LEASE_SECONDS,
    });
    return new CollectedMaster(options, stores);
  }

  /** Opens a master for `work`, and closes it afterwards. */
  static async within<Result>(
    options: CollectedMasterOptions,
    work: (master: CollectedMaster) => Promise<Result>,
  ): Promise<Result> {
    await using master = await CollectedMaster.open(options);
    return await work(master);
  }

  blocksOf(owner: Wallet): Promise<CollectedBlocks> {
    return this.#stores.of(owner);
  }

  collect(owner: Wallet, dryRun = false, change: Partial<CollectionOptions> = {}): Promise<CollectionReport> {
    const { gate } = this.swaps;
    const { clock } = this.#options;
    const signal = this.#end.signal;
    const { roots, alarm } = this;
    return collectOwner({ roots, alarm, stores: this.#stores, gate, clock, signal, ...change }, owner, dryRun);
  }

  /** Stores a commit's blocks and swaps it in on top of its parent. */
  async publish(owner: Wallet, bucket: string, { commit, blocks }: MadeCommit): Promise<void> {
    await (await this.blocksOf(owner)).put(blocks);
    await this.swap(owner, bucket, commit);
  }

  async swap(owner: Wallet, bucket: string, { cid, body }: MadeCommit["commit"]): Promise<void> {
    const roots = new Set([String(body.parent)]);
    const condition = body.parent === undefined ? ({ kind: "absent" } as const) : ({ kind: "present", roots } as const);
    await this.swaps.swap({ owner, bucket }, condition, cid, this.#end.signal);
  }

  /** The damage that an audit finds once this master is closed. */
  async damage(): Promise<string[]> {
    await this[Symbol.asyncDispose]();
    return damageIn(this.#options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.roots[Symbol.dispose]();
    await this.#stores[Symbol.asyncDispose]();
  }
}

export async function damageIn({ dir, disk = systemPackDisk }: Pick<CollectedMasterOptions, "dir" | "disk">) {
  const { damage } = await auditData({ dir, disk, onBytes: () => {} });
  return damage.map(({ kind, what, cid }) => `${kind}: ${what} ${cid ?? ""}`);
}

/** Publishes a commit of `photos` that retains only the last one in `history`, and appends it there. */
export async function publishNext(
  master: CollectedMaster,
  chain: CommitChain,
  history: MadeCommit[],
  label: string,
): Promise<void> {
  const next = retaining(chain, label, history.at(-1), history.slice(-1));
  await master.publish(chain.owner.wallet, "photos", next);
  history.push(next);
}

/** A commit over `parent` that retains exactly `kept`. */
export function retaining(
  chain: CommitChain,
  label: string,
  parent: MadeCommit | undefined,
  kept: readonly MadeCommit[],
  change: Partial<CommitBody> = {},
): MadeCommit {
  const list = nodeBlock(`kept ${label}`, ...kept.map(({ commit }) => commit));
  const made = chain.make(label, parent, { ...change, kept: list.cid });
  const unused = nodeBlock("kept", ...(parent === undefined ? [] : [parent.commit])).cid;
  return { ...made, blocks: [...made.blocks.filter(({ cid }) => cid !== unused), list] };
}
