/**
 * Verifies a bucket: every block that any kept root reaches, every commit's signature and place in history, and the current
 * tree as a filesystem. Reports, and changes nothing.
 */
import { addAll } from "../base/collections.ts";
import { unless } from "../base/unless.ts";
import type { Cid, Lamport } from "../base/ids.ts";
import { hasCode, isDamage, SynclineError } from "../base/errors.ts";
import { VERIFY_CACHE_BYTES } from "../base/limits.ts";
import { WordMemory } from "../base/word-memory.ts";
import type { BlockReader } from "../blocks/block-store.ts";
import { ChunkCache } from "../content/chunk-cache.ts";
import { digestKey } from "../format/blocks/cid.ts";
import { type CommitBody, skipSeq } from "../format/commits/commit-body.ts";
import type { Root } from "../roots/root-store.ts";
import { NodeStore } from "../tree/node-store.ts";
import type { Bucket } from "./bucket.ts";
import { isWrongCommit, type VerifiedCommit } from "./verified-commit.ts";
import { descends, keptCommits } from "./history.ts";
import type { ObjectAudit, ObjectDamage } from "./packed/object-audit.ts";
import { BlockWalk } from "./verify/block-walk.ts";
import { damagedPaths } from "./verify/damaged-paths.ts";
import { damageItem, type DamageItem, type OnProgress, type VerifyReport } from "./verify/report.ts";
import { checkTree } from "./verify/tree-check.ts";

export interface VerifyOptions {
  /** Reads the store itself: no cache, and unverified. */
  readonly blocks: BlockReader;
  /** Checks the store's objects (packed/object-audit.ts); with `blocks`, every block in them. Absent: it has none. */
  readonly audit?: (blocks: boolean) => Promise<ObjectAudit>;
  /** The most memory that the list of blocks may take. Default: no limit. */
  readonly memoryBytes?: number;
  readonly onProgress?: OnProgress;
  /** Called at the start of a step whose progress is not counted. */
  readonly onStep?: (what: string) => void;
}

/**
 * Verifies everything under the current root. Throws only when no result is possible: `no_such_bucket`, `root_rolled_back`,
 * `feature_unknown`, `limit_exceeded` if the list of blocks takes more than `memoryBytes`, and what reading throws when the
 * store is unreachable, at first or later.
 */
export async function verifyBucket(bucket: Bucket, options: VerifyOptions): Promise<VerifyReport> {
  for (let times = 1; ; times++) {
    await requireKnownRoot(bucket);
    const root = await rootOf(bucket);
    const report = await verifyRoot(bucket, root, options);
    // Blocks that a collection took meanwhile are missing where the former root reached them.
    const hasMoved = report.damage.length > 0 && (await bucket.remote.readRoot())?.commit !== root.commit;
    if (!hasMoved || times === MOST_TIMES) return report;
  }
}

/** How often damage is checked again where others publish meanwhile. */
const MOST_TIMES = 3;

/** A damaged root is reported, not thrown. Throws `feature_unknown` for one that only a newer version can read. */
async function requireKnownRoot(bucket: Bucket): Promise<void> {
  try {
    await bucket.current();
  } catch (error) {
    if (!isWrongCommit(error) || hasCode(error, "feature_unknown")) throw error;
  }
}

async function rootOf({ remote }: Bucket): Promise<Root> {
  const root = await remote.readRoot();
  if (root !== undefined) return root;
  throw new SynclineError("no_such_bucket", `The bucket at ${remote.address} has lost its root.`, {
    hint: "In a folder or in S3, `syncline verify --repair` looks for its newest commit. At a master, see its table of roots.",
  });
}

async function verifyRoot(bucket: Bucket, root: Root, options: VerifyOptions): Promise<VerifyReport> {
  const { blocks, audit, memoryBytes, onProgress = () => {}, onStep } = options;
  const memory = new WordMemory(memoryBytes);
  const walk = new BlockWalk(blocks, (commit) => bucket.verify(commit), onProgress, memory);
  await walk.walkRoot(root.commit);
  const damage: DamageItem[] = [];
  const head = walk.damaged.has(root.commit) ? undefined : await bucket.commit(root.commit);
  if (head !== undefined) {
    const sound = soundBlocks(blocks, walk);
    const nodes = new NodeStore(sound, { capacityBytes: VERIFY_CACHE_BYTES });
    onStep?.("checking history and the newest tree");
    addAll(damage, await damageByPath(bucket, sound, nodes, walk, head));
    addAll(damage, await historyDamage(bucket, nodes, walk, head));
    addAll(damage, await treeDamage(sound, nodes, walk, head));
  }
  const named = new Set(damage.map(({ cid }) => cid));
  for (const [cid, wrong] of walk.damaged) {
    if (!named.has(cid)) damage.push(damageItem(`Block ${cid} ${wrong}.`, { cid }));
  }
  if (audit !== undefined) onStep?.("checking the objects");
  const objects = await audit?.(walk.damaged.size > 0);
  return {
    ...walk.progress,
    damage: objects === undefined ? damage : withObjects(damage, objects.damage),
    lost: [...walk.damaged.keys()],
  };
}

/** Adds the object that holds each damaged block, and damage in objects beyond reachable blocks. */
function withObjects(damage: readonly DamageItem[], objects: readonly ObjectDamage[]): DamageItem[] {
  const holders = new Map(objects.flatMap(({ cid, object }) => (cid === undefined ? [] : [[digestKey(cid), object]])));
  const located = damage.map((item) => {
    return item.cid === undefined ? item : { ...item, object: holders.get(digestKey(item.cid)) };
  });
  const reached = new Set(damage.flatMap(({ cid }) => (cid === undefined ? [] : [digestKey(cid)])));
  const others = objects.filter(({ cid }) => cid === undefined || !reached.has(digestKey(cid)));
  return [...located, ...others.map(({ object, cid, what }) => damageItem(what, { object, cid }))];
}

/** Each damaged block with each path that uses it: in the current root, or in older ones if only those use it. */
async function damageByPath(
  bucket: Bucket,
  blocks: BlockReader,
  nodes: NodeStore,
  walk: BlockWalk,
  head: VerifiedCommit,
): Promise<DamageItem[]> {
  if (walk.damaged.size === 0) return [];
  const items: DamageItem[] = [];
  const named = new Set<Cid>();
  for (const { commit, isHead } of await commitsNewestFirst(bucket, nodes, walk, head)) {
    const here: Cid[] = [];
    for await (const { cid, path } of damagedPaths(walk, blocks, nodes, commit.body.tree)) {
      if (named.has(cid)) continue;
      here.push(cid);
      const root = isHead ? undefined : commit.cid;
      items.push(damageItem(`Block ${cid} ${walk.damaged.get(cid) ?? "is damaged"}.`, { path, root, cid }));
    }
    for (const cid of here) named.add(cid);
  }
  return items;
}

async function commitsNewestFirst(
  bucket: Bucket,
  nodes: NodeStore,
  walk: BlockWalk,
  head: VerifiedCommit,
): Promise<{ commit: VerifiedCommit; isHead: boolean }[]> {
  const commits = [{ commit: head, isHead: true }];
  if ((await keptDamage(nodes, head)) !== undefined) return commits;
  const kept: VerifiedCommit[] = [];
  for await (const { cid } of keptCommits(nodes, head)) if (!walk.damaged.has(cid)) kept.push(await bucket.commit(cid));
  return [...commits, ...kept.reverse().map((commit) => ({ commit, isHead: false }))];
}

/** Damage in the list of retained commits. */
async function keptDamage(nodes: NodeStore, head: VerifiedCommit): Promise<string | undefined> {
  try {
    for await (const commit of keptCommits(nodes, head)) void commit;
    return undefined;
  } catch (error) {
    if (isDamage(error)) return error.message;
    throw error;
  }
}

/** Checks that kept commits are at their seq, the root descends from each, and each links to those at lower seqs. */
async function historyDamage(
  bucket: Bucket,
  nodes: NodeStore,
  walk: BlockWalk,
  head: VerifiedCommit,
): Promise<DamageItem[]> {
  const wrong = await keptDamage(nodes, head);
  if (wrong !== undefined)
    return walk.isTainted(head.body.kept) ? [] : [damageItem(`The list of retained commits is malformed: ${wrong}`)];
  const items: DamageItem[] = [];
  const kept = new Map<Lamport, Cid>();
  for await (const { seq, cid } of keptCommits(nodes, head)) {
    kept.set(seq, cid);
    if (walk.damaged.has(cid)) continue;
    const { body } = await bucket.commit(cid);
    if (body.seq !== seq || !(await isAncestor(bucket, head, { cid, seq })))
      items.push(
        damageItem(`Commit ${cid} is listed as retained at seq ${seq}, but this history does not have it there.`, {
          cid,
        }),
      );
    else items.push(...misledLinks(cid, body, kept));
  }
  return [...items, ...misledLinks(head.cid, head.body, kept)];
}

/** As far as can be told: commits on the way may have been thinned out. */
async function isAncestor(bucket: Bucket, head: VerifiedCommit, commit: { cid: Cid; seq: Lamport }): Promise<boolean> {
  return unless(isWrongCommit, async () => (await descends(bucket, head, commit)) !== "no", false);
}

/** Links of a commit that do not lead to the commit at their seq; `kept` holds all below it. */
function misledLinks(cid: Cid, { seq, parent, skip }: CommitBody, kept: ReadonlyMap<Lamport, Cid>): DamageItem[] {
  const links = [
    { what: "parent", to: parent, at: (seq - 1) as Lamport },
    { what: "skip link", to: skip, at: skipSeq(seq) },
  ];
  const wrong = links.filter(({ to, at }) => to !== undefined && kept.has(at) && kept.get(at) !== to);
  return wrong.map(({ what, at }) =>
    damageItem(`The ${what} of commit ${cid} is not the commit at seq ${at}.`, { cid }),
  );
}

async function treeDamage(
  blocks: BlockReader,
  nodes: NodeStore,
  walk: BlockWalk,
  head: VerifiedCommit,
): Promise<DamageItem[]> {
  const { tree, totals } = head.body;
  const items: DamageItem[] = [];
  const content = new ChunkCache(blocks, { capacityBytes: VERIFY_CACHE_BYTES });
  try {
    const known = (cid: Cid) => walk.isTainted(cid);
    const lengthOf = (cid: Cid) => walk.lengthOf(cid);
    for await (const item of checkTree({ nodes, content, blocks, lengthOf }, tree, totals, known)) items.push(item);
  } catch (error) {
    // Damaged nodes are reported as blocks; what lies behind damaged or inconsistent nodes cannot be checked.
    if (!isDamage(error)) throw error;
    items.push(damageItem(`The tree could not be checked completely: ${error.message}`));
  }
  return items;
}

/** Reads blocks that the walk found sound; all others are `block_corrupt`. */
function soundBlocks(blocks: BlockReader, walk: BlockWalk): BlockReader {
  const check = (cids: readonly Cid[]) => {
    const bad = cids.find((cid) => walk.damaged.has(cid));
    if (bad !== undefined) throw new SynclineError("block_corrupt", `Block ${bad} ${walk.damaged.get(bad)}.`);
  };
  return {
    get: async (cid) => {
      check([cid]);
      return blocks.get(cid);
    },
    getMany: async (cids) => {
      check(cids);
      return blocks.getMany(cids);
    },
  };
}
