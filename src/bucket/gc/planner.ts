/** Plans a collection on one root: what must stay, where it lies, and which packs go. */
import { SynclineError } from "../../base/errors.ts";
import type { Cid, Lamport, PackName } from "../../base/ids.ts";
import { MAX_LOOSE_PACKS } from "../../base/limits.ts";
import type { Ports } from "../../base/ports.ts";
import type { WordMemory } from "../../base/word-memory.ts";
import { cidFromDigest, type Codec, digestOf, digestText } from "../../format/blocks/cid.ts";
import type { LoosePack } from "../../format/blocks/manifest.ts";
import type { PackFooter } from "../../format/blocks/pack.ts";
import type { Bucket } from "../bucket.ts";
import { type CommitObject, mappedBlocks, type PackDirectory } from "../packed/pack-directory.ts";
import type { Writer } from "../publish/next-commit.ts";
import { type Estimate, ESTIMATE_ERROR_BYTES, estimateOf } from "./estimate.ts";
import type { CollectionBase } from "./collection-base.ts";
import { AgedMarks, type Held } from "./held.ts";
import { type Claims, type Inventory, mappedRows } from "./inventory.ts";
import { LiveRows } from "./live-rows.ts";
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
import { NeededBlocks } from "./needed-blocks.ts";
import type { RetentionRule } from "./retention.ts";
import { unlinkedCommits } from "./unlinked-commits.ts";
import { chooseVictims, DROPPED_AT_ONCE, type PackState } from "./victims.ts";

export interface Plan {
  readonly history: History;
  readonly maintenance: Maintenance;
  /** Every block that must stay and that the root maps. Only the newest plan's can be used. */
  readonly live: LiveRows;
  /** Packs that came while `live` was compiled: listed as they are. */
  readonly added: readonly LoosePack[];
  /** Packs that go in this pass. */
  readonly victims: readonly PackState[];
  /** All packs that the root does not map, including those that are kept for now. */
  readonly unmapped: readonly PackName[];
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

export interface PlannerOptions extends Pick<Ports, "clock" | "random"> {
  /** Reads the store itself, verified: no cache, which may hold what the store has lost. */
  readonly bucket: Bucket;
  /** A device that no other process publishes with at the same time. */
  readonly writer: Writer;
  /** For lists of blocks. */
  readonly memory: WordMemory;
  /** Unlisted objects younger than this are left alone: a writer may be about to list them. Default: one hour. */
  readonly youngMs?: number;
  /** Acts only if it frees more than this beyond what it writes. Default: the estimate's error, so that no bucket grows. */
  readonly leastGainBytes?: number;
  /** Which commits stay, in place of `retained`. */
  readonly rule?: RetentionRule;
  /** Called with the number of blocks found to be needed so far, and an upper bound for it. */
  readonly onProgress?: (progress: MarkProgress) => void;
  /** When aborted: ends with the signal's reason, at a point where nothing is left for others to finish. */
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
    const { bucket, memory } = options;
    this.#options = options;
    this.#directory = directory;
    this.#marker = new Marker(bucket.blocks, new NeededBlocks(memory), (blocks) => {
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
    const { live, mapped } = await this.#locate(object, needs);
    const all = this.#victims(base, live, mapped, { inventory, claims, nowMs });
    const { gcEpoch } = object.manifest;
    const estimate = estimateOf({ live, victims: all, runs: inventory.runs, maintenance, gcEpoch });
    const plan = {
      ...step,
      live,
      added: [],
      victims: all.slice(0, DROPPED_AT_ONCE),
      unmapped: [...inventory.packs.keys()].filter((name) => !mapped.has(name)),
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
    const { needed } = this.#marker;
    const isKnown = (digest: Uint8Array) => needed.isMarked(digest);
    const rows = mappedRows(this.#directory, object);
    const { genesis } = commit.body;
    for await (const cid of unlinkedCommits({ rows, blocks, isKnown, genesis, seq })) {
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
    const liveBytes = (name: PackName) => {
      const use = live.uses.get(name);
      return use === undefined ? 0 : use.raw + use["dag-cbor"];
    };
    const isOld = ({ modifiedMs }: { readonly modifiedMs: number }) => modifiedMs <= nowMs - youngMs;
    const mayGo = [...inventory.packs.values()].flatMap((info): PackState[] => {
      const name = info.name as PackName;
      const isProtected = name === object.pack.name || claims.leased.has(name) || dropping.has(name);
      if (isProtected || !(mapped.has(name) || isOld(info))) return [];
      return [{ name, size: info.size, live: liveBytes(name) }];
    });
    return chooseVictims(mayGo);
  }

  /**
   * The last whole plan, if everything that must stay is in it or in packs added since. Then nothing is located or mapped
   * anew, so that a large bucket can be collected while others publish all the time.
   */
  async #extended({ object }: CollectionBase, needs: Needs): Promise<Plan | undefined> {
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
    const footers: PackFooter[] = [];
    for (const pack of added) footers.push(await this.#directory.footer(pack));
    const isAdded = (digest: Uint8Array) => footers.some((footer) => footer.find(digest) !== undefined);
    for (const digest of this.#unlocated(plan.live, needs)) if (!isAdded(digest)) return undefined;
    return { ...plan, added };
  }

  /** Everything that must stay, and which of it comes with the maintenance commit. */
  #needs(maintenance: Maintenance, nodes: readonly Cid[]): Needs {
    const { needed, skipped } = this.#marker;
    const alone = new Set<number>();
    for (const key of skipped) alone.add(needed.add(Buffer.from(key, "latin1")));
    for (const cid of [...nodes, ...maintenance.keptNodes]) alone.add(needed.add(digestOf(cid)));
    const own = new Set(blocksOf(maintenance).map(({ cid }) => digestText(digestOf(cid))));
    const kindOf = (number: number) => needed.kindOf(number) ?? (alone.has(number) ? "dag-cbor" : undefined);
    return { kindOf, own };
  }

  /** Locates all that must stay, and all packs that the root knows. Throws `block_not_found` if anything is missing. */
  async #locate(object: CommitObject, needs: Needs) {
    const { needed } = this.#marker;
    this.#whole?.plan.live.clear();
    this.#whole = undefined;
    const live = new LiveRows(needed);
    const mapped = new Set<PackName>([object.pack.name, ...object.manifest.loose.map(({ name }) => name)]);
    for await (const row of mappedRows(this.#directory, object)) {
      mapped.add(row.pack);
      const number = needed.table.find(row.digest);
      const kind = number < 0 ? undefined : needs.kindOf(number);
      if (kind !== undefined) live.add(number, kind, row);
    }
    for (const digest of this.#unlocated(live, needs)) throw missing(digest);
    return { live, mapped };
  }

  /** The blocks that must stay, and that are neither live nor come with the maintenance commit. */
  *#unlocated(live: LiveRows, { kindOf, own }: Needs): Generator<Uint8Array> {
    const { needed } = this.#marker;
    for (let number = 0; number < needed.size; number++) {
      if (live.has(number) || kindOf(number) === undefined) continue;
      const digest = needed.table.digestOf(number);
      if (!own.has(digestText(digest))) yield digest;
    }
  }
}

/** What was read before the root. */
interface Seen {
  readonly inventory: Inventory;
  readonly claims: Claims;
  readonly nowMs: number;
}

/** What must stay. */
interface Needs {
  /** What a block is, by its number; undefined if it need not stay. */
  readonly kindOf: (number: number) => Codec | undefined;
  /** Blocks of the maintenance commit itself, by digestText. */
  readonly own: ReadonlySet<string>;
}

function missing(digest: Uint8Array): SynclineError {
  const cid = cidFromDigest("raw", digest);
  return new SynclineError(
    "block_not_found",
    `No pack holds block ${cid}, which the bucket needs. Nothing was collected.`,
    { hint: "Run `syncline verify --repair` on the bucket, then collect again." },
  );
}
