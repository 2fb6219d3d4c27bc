/** Plans a collection on one root: what must stay, where it lies, and which packs go. */
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid, Lamport, PackName } from "../../base/ids.ts";
import { MAX_LOOSE_PACKS } from "../../base/limits.ts";
import type { Random } from "../../base/random.ts";
import { cidFromDigest, type Codec, digestOf, digestText } from "../../format/blocks/cid.ts";
import type { LoosePack } from "../../format/blocks/manifest.ts";
import type { Bucket } from "../bucket.ts";
import { type CommitObject, mappedBlocks, type PackDirectory } from "../packed/pack-directory.ts";
import type { Writer } from "../publish/next-commit.ts";
import { type Estimate, ESTIMATE_ERROR_BYTES, estimateOf } from "./estimate.ts";
import type { CollectionBase } from "./collection-base.ts";
import { AgedMarks, type Held } from "./held.ts";
import { type Claims, type Inventory, type LiveRow, mappedRows } from "./inventory.ts";
import {
  blocksOf,
  CommitTimes,
  type History,
  historyOf,
  keptNodesOf,
  type Maintenance,
  makeMaintenance,
} from "./maintenance.ts";
import { Marker } from "./marker.ts";
import type { RetentionRule } from "./retention.ts";
import { unlinkedCommits } from "./unlinked-commits.ts";
import { chooseVictims, DROPPED_AT_ONCE, type PackState } from "./victims.ts";

export interface Plan {
  readonly history: History;
  readonly maintenance: Maintenance;
  /** Every block that must stay and that the root maps, by digestText. */
  readonly live: ReadonlyMap<string, LiveRow>;
  /** Where else the root maps some of them, by digestText. */
  readonly copies: ReadonlyMap<string, readonly LiveRow[]>;
  /** Packs that came while `live` was compiled: listed as they are. */
  readonly added: readonly LoosePack[];
  /** Packs that go in this pass. */
  readonly victims: readonly PackState[];
  readonly held: Held;
  /** For this pass and those that follow it. */
  readonly estimate: Estimate;
  /** Whether it is carried out: it frees enough that the bucket shrinks even if the estimate is off. */
  readonly isWorth: boolean;
}

export interface MarkProgress {
  readonly blocks: number;
  /** An upper bound: includes garbage and duplicate copies. */
  readonly of: number;
}

export interface PlannerOptions {
  readonly bucket: Bucket;
  readonly writer: Writer;
  readonly clock: Clock;
  readonly random: Random;
  readonly youngMs?: number;
  readonly leastGainBytes?: number;
  readonly rule?: RetentionRule;
  readonly onProgress?: (progress: MarkProgress) => void;
  readonly signal?: AbortSignal;
}

/** Unlisted objects younger than this may be about to be listed: deleting them would make others send them again. */
const YOUNG_MS = 60 * 60 * 1000;

/** Keeps its findings from one root to the next. Marks only grow, so a block may be kept too long but never too short. */
export class Planner {
  readonly #options: PlannerOptions;
  readonly #directory: PackDirectory;
  readonly #marker: Marker;
  readonly #agedMarks: AgedMarks;
  readonly #times: CommitTimes;
  #mapped = 0;
  #searchedBelow: Lamport | undefined;
  /** The last plan for which everything was located. */
  #whole: { readonly base: CollectionBase; readonly plan: Plan } | undefined;

  constructor(options: PlannerOptions, directory: PackDirectory) {
    const { bucket } = options;
    this.#options = options;
    this.#directory = directory;
    this.#marker = new Marker(bucket.blocks, (blocks) => {
      options.signal?.throwIfAborted();
      options.onProgress?.({ blocks, of: this.#mapped });
    });
    this.#agedMarks = new AgedMarks(this.#marker);
    this.#times = new CommitTimes(bucket);
  }

  /** `inventory` and `claims` were taken before `base` was read. Throws what reading throws where the bucket is damaged. */
  async plan(base: CollectionBase, inventory: Inventory, claims: Claims, nowMs: number): Promise<Plan> {
    const { bucket, writer, clock, random, rule, leastGainBytes = ESTIMATE_ERROR_BYTES } = this.#options;
    const { commit, object } = base;
    this.#mapped = mappedBlocks(object);
    const history = await historyOf(bucket, commit, BigInt(nowMs) * 1_000_000n, this.#times, claims.bases, rule);
    const maintenance = await makeMaintenance(bucket, writer, clock, random, commit, history.thinned);
    await this.#agedMarks.markRoots(commit.cid, history.kept);
    const lostAt = await this.#marker.markSkips(maintenance.made.commit.body);
    if (lostAt !== undefined) await this.#markBelow(lostAt, base);
    // Readers still on this root when the next one comes must find its list.
    const stillRead = await keptNodesOf(bucket.blocks, commit.body.kept);
    const needs = this.#needs(maintenance, stillRead);
    const step = { history, maintenance };
    const extended = await this.#extended(base, needs);
    if (extended !== undefined) return { ...extended, ...step };
    const { live, copies, mapped } = await this.#locate(object, needs);
    const all = this.#victims(base, live, mapped, { inventory, claims, nowMs });
    const { gcEpoch } = object.manifest;
    const estimate = estimateOf({ live, victims: all, runs: inventory.runs, maintenance, gcEpoch });
    const plan = {
      ...step,
      live,
      copies,
      added: [],
      victims: all.slice(0, DROPPED_AT_ONCE),
      held: this.#agedMarks.heldBy(history.kept, live),
      estimate,
      isWorth: estimate.freed.bytes - estimate.written.bytes > leastGainBytes,
    };
    this.#whole = { base, plan };
    return plan;
  }

  /** Marks the commits before a lost one that `skip` would have led to. Once: none come later. */
  async #markBelow(seq: Lamport, { commit, object }: CollectionBase): Promise<void> {
    if (this.#searchedBelow === seq) return;
    const { blocks } = this.#options.bucket;
    const { marked: known } = this.#marker;
    const rows = mappedRows(this.#directory, object);
    const { genesis } = commit.body;
    for await (const cid of unlinkedCommits({ rows, blocks, known, genesis, seq })) {
      this.#options.signal?.throwIfAborted();
      await this.#marker.markWithoutTree(cid);
    }
    this.#searchedBelow = seq;
  }

  /** All packs that should go, over all passes. */
  #victims(
    { object }: CollectionBase,
    live: Plan["live"],
    mapped: ReadonlySet<PackName>,
    { inventory, claims, nowMs }: Seen,
  ) {
    const { youngMs = YOUNG_MS } = this.#options;
    const dropping = new Set(object.manifest.dropping);
    const liveBytes = new Map<PackName, number>();
    for (const { pack, length } of live.values()) liveBytes.set(pack, (liveBytes.get(pack) ?? 0) + length);
    const isOld = ({ modifiedMs }: { readonly modifiedMs: number }) => modifiedMs <= nowMs - youngMs;
    const mayGo = [...inventory.packs.values()].flatMap((info): PackState[] => {
      const name = info.name as PackName;
      const isProtected = name === object.pack.name || claims.leased.has(name) || dropping.has(name);
      if (isProtected || !(mapped.has(name) || isOld(info))) return [];
      return [{ name, size: info.size, live: liveBytes.get(name) ?? 0 }];
    });
    return chooseVictims(mayGo);
  }

  /**
   * The last whole plan, if everything that must stay is in it or in packs added since. Then nothing is located or mapped
   * anew, so that a large bucket can be collected while others publish all the time.
   */
  async #extended({ object }: CollectionBase, { keys, own }: Needs): Promise<Plan | undefined> {
    if (this.#whole === undefined) return undefined;
    const { base, plan } = this.#whole;
    const before = base.object.manifest;
    const { runs, loose } = object.manifest;
    const known = new Set(before.loose.map(({ name }) => name));
    const grew = loose.filter(({ name }) => known.has(name)).length === known.size;
    if (!grew || runs.map(({ id }) => id).join() !== before.runs.map(({ id }) => id).join()) return undefined;
    const added = [...loose.filter(({ name }) => !known.has(name)), object.pack];
    const victims = new Set(plan.victims.map(({ name }) => name));
    if (added.length > MAX_LOOSE_PACKS || added.some(({ name }) => victims.has(name))) return undefined;
    const rows = new Set<string>();
    for (const pack of added) for (const { digest } of await this.#directory.footer(pack)) rows.add(digestText(digest));
    for (const key of keys()) if (!plan.live.has(key) && !rows.has(key) && !own.has(key)) return undefined;
    return { ...plan, added };
  }

  /** Everything that must stay, and which of it comes with the maintenance commit. */
  #needs(maintenance: Maintenance, nodes: readonly Cid[]): Needs {
    const alone = new Set(this.#marker.skipped);
    for (const cid of [...nodes, ...maintenance.keptNodes]) alone.add(digestText(digestOf(cid)));
    const { marked } = this.#marker;
    const own = new Set(blocksOf(maintenance).map(({ cid }) => digestText(digestOf(cid))));
    const kindOf = (key: string) => marked.get(key) ?? (alone.has(key) ? "dag-cbor" : undefined);
    const keys = function* () {
      yield* marked.keys();
      yield* alone;
    };
    return { keys, kindOf, own };
  }

  /** Locates all that must stay, and all packs that the root knows. Throws `block_not_found` if anything is missing. */
  async #locate(object: CommitObject, { keys, kindOf, own }: Needs) {
    const live = new Map<string, LiveRow>();
    const copies = new Map<string, LiveRow[]>();
    const mapped = new Set<PackName>([object.pack.name, ...object.manifest.loose.map(({ name }) => name)]);
    for await (const row of mappedRows(this.#directory, object)) {
      mapped.add(row.pack);
      const key = digestText(row.digest);
      const kind = kindOf(key);
      if (kind === undefined) continue;
      const known = live.get(key);
      if (known === undefined) live.set(key, { ...row, kind });
      else if (known.pack !== row.pack) copies.set(key, [...(copies.get(key) ?? []), { ...row, kind }]);
    }
    for (const key of keys()) if (!live.has(key) && !own.has(key)) throw missing(key);
    return { live, copies, mapped };
  }
}

/** What was read before the root. */
interface Seen {
  readonly inventory: Inventory;
  readonly claims: Claims;
  readonly nowMs: number;
}

/** Blocks that must stay, by digestText. */
interface Needs {
  /** May contain duplicates. */
  readonly keys: () => Iterable<string>;
  readonly kindOf: (key: string) => Codec | undefined;
  /** Blocks of the maintenance commit itself. */
  readonly own: ReadonlySet<string>;
}

function missing(key: string): SynclineError {
  const cid = cidFromDigest("raw", Buffer.from(key, "latin1"));
  return new SynclineError(
    "block_not_found",
    `No pack holds block ${cid}, which the bucket needs. Nothing was collected.`,
    {
      hint: "Run `syncline verify --repair` on the bucket, then collect again.",
    },
  );
}
