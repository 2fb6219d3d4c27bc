/** Maintenance commits: the tree is unchanged, and `kept` drops the commits that the rule does not retain. */
import type { Clock } from "../../base/clock.ts";
import type { Cid, Lamport } from "../../base/ids.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { PUBLISH_NODE_CACHE_BYTES } from "../../base/limits.ts";
import type { Random } from "../../base/random.ts";
import { decodeCommit } from "../../format/commits/commit.ts";
import { type Retention, retentionOf } from "../../format/commits/retention.ts";
import { decodeNode } from "../../format/tree/node-decoder.ts";
import { NodeStore } from "../../tree/node-store.ts";
import type { Bucket } from "../bucket.ts";
import type { VerifiedCommit } from "../verified-commit.ts";
import { keptCommits } from "../history.ts";
import { commitRoots, makeCommit, type NewCommit, type Writer } from "../publish/next-commit.ts";
import { Staging } from "../publish/staging.ts";
import { ageLimitNs, agreedTime, retained, type RetentionRule } from "./retention.ts";

export interface History {
  /** The rule that the head names. */
  readonly retention: Retention;
  /** Commits that stay, without the head, in the order of history. */
  readonly kept: readonly KeptCommit[];
  /** Seqs of those that go, ascending. */
  readonly thinned: readonly Lamport[];
}

export interface KeptCommit {
  readonly cid: Cid;
  /** The age limit of the shortest retention rule that still covers it, by its own time; undefined: no rule does. */
  readonly withinNs: bigint | undefined;
}

/** Times of commits, each read once. */
export class CommitTimes {
  readonly #bucket: Bucket;
  readonly #times = new Map<Cid, bigint>();

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  async of(cids: readonly Cid[]): Promise<ReadonlyMap<Cid, bigint>> {
    const unknown = cids.filter((cid) => !this.#times.has(cid));
    for (let from = 0; from < unknown.length; from += BATCH) {
      const blocks = await this.#bucket.blocks.getMany(unknown.slice(from, from + BATCH));
      for (const [cid, bytes] of blocks) this.#times.set(cid, decodeCommit(bytes).body.timeNs);
    }
    return this.#times;
  }
}

const BATCH = 64;

/**
 * Which of the history below `head` stays. Ages count from the earliest of `nowNs`, the head's own time and the time that
 * the retained commits agree on, so one wrong clock removes nothing. `bases` stay at any age. The rule is the head's.
 */
export async function historyOf(
  bucket: Bucket,
  head: VerifiedCommit,
  nowNs: bigint,
  times: CommitTimes,
  bases: ReadonlySet<Cid> | "all",
  rule: RetentionRule = retained,
): Promise<History> {
  const nodes = new NodeStore(bucket.blocks, { capacityBytes: PUBLISH_NODE_CACHE_BYTES });
  const commits: { seq: Lamport; cid: Cid }[] = [];
  for await (const commit of keptCommits(nodes, head)) commits.push(commit);
  const timeOf = await times.of(commits.map(({ cid }) => cid));
  const timed = commits.map(({ seq, cid }) => ({ seq, timeNs: timeOf.get(cid) ?? nowNs }));
  timed.push({ seq: head.body.seq, timeNs: head.body.timeNs });
  const countedNs = earlier(earlier(nowNs, head.body.timeNs), agreedTime(timed));
  const retention = retentionOf(head.body);
  const stay = rule(timed, countedNs, retention);
  const stays = ({ seq, cid }: { seq: Lamport; cid: Cid }) => bases === "all" || stay.has(seq) || bases.has(cid);
  const withinNs = (cid: Cid) => ageLimitNs(retention, countedNs - (timeOf.get(cid) ?? nowNs));
  return {
    retention,
    kept: commits.filter(stays).map(({ cid }) => ({ cid, withinNs: withinNs(cid) })),
    thinned: commits.filter((commit) => !stays(commit)).map(({ seq }) => seq),
  };
}

export interface Maintenance {
  readonly made: NewCommit;
  /** Its blocks that the bucket may lack, and those that it holds together with them. */
  readonly staging: Staging;
  /** All nodes of its list of kept commits. */
  readonly keptNodes: readonly Cid[];
}

/**
 * The commit that follows `head` with the same tree and without the `thinned` commits. Its time is not after the head's:
 * ages count from the newest time of a commit with changes. Throws as `makeCommit`.
 */
export async function makeMaintenance(
  bucket: Bucket,
  writer: Writer,
  clock: Clock,
  random: Random,
  head: VerifiedCommit,
  thinned: readonly Lamport[],
): Promise<Maintenance> {
  const staging = new Staging(bucket.blocks, undefined);
  const nodes = new NodeStore(staging, { capacityBytes: PUBLISH_NODE_CACHE_BYTES });
  const made = await makeCommit(bucket, nodes, staging, head, writer, {
    tree: head.body.tree,
    epoch: await bucket.heads.epochOf(head.body, writer.device.writer),
    timeNs: earlier(clock.nowNs(), head.body.timeNs),
    // Two tries on one root must give two commits: otherwise the object would have the first try's manifest.
    note: `maintenance ${Buffer.from(random.bytes(NOTE_BYTES)).toString("hex")}`,
    thinned,
  });
  return { made, staging, keptNodes: await keptNodesOf(staging, made.commit.body.kept) };
}

const NOTE_BYTES = 8;

function earlier(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** What a store must hold for a maintenance commit besides what its parent reaches, the commit last. */
export function blocksOf({ made, staging }: Maintenance) {
  return [...staging.reachable(commitRoots(made.commit)), made.commit];
}

/** All nodes of a list of kept commits. */
export async function keptNodesOf(blocks: BlockReader, root: Cid): Promise<Cid[]> {
  const nodes: Cid[] = [];
  for (let level: Cid[] = [root]; level.length > 0;) {
    nodes.push(...level);
    const found = await blocks.getMany(level);
    level = level.flatMap((cid) => {
      const node = decodeNode(found.get(cid) ?? new Uint8Array());
      return node.level === 0 ? [] : Array.from({ length: node.count }, (_, index) => node.childAt(index));
    });
  }
  return nodes;
}
