/**
 * Turns one epoch into trees, with its staged blocks, its nodes in memory and its upload. Kept across the attempts of one
 * publication, so that contents are cut and sent once.
 */
import type { Cid, Ino, Lamport, WriterId } from "../../base/ids.ts";
import { PUBLISH_CHUNK_CACHE_BYTES, PUBLISH_NODE_CACHE_BYTES } from "../../base/limits.ts";
import { ChunkCache } from "../../content/chunk-cache.ts";
import { NodeStore } from "../../tree/node-store.ts";
import type { Bucket } from "../bucket.ts";
import type { VerifiedCommit } from "../verified-commit.ts";
import { type RebasedEpoch, type RebasedObject, rebaseEpoch } from "../../fstree/rebase/rebase.ts";
import type { ChangeSet, DataReader, MovedVersions } from "../../fstree/change-set.ts";
import { isRetained, keptCommits, log } from "../history.ts";
import type { Conflict } from "../../fstree/merge/conflict.ts";
import { type Head, type MergeContext, wins } from "../../fstree/merge/context.ts";
import type { MergeResult } from "../../fstree/merge/merge-snapshots.ts";
import { type ContentSession, Staging } from "./staging.ts";
import { insideCopies, underSuccessors } from "./successors.ts";

/** The three-way merge (merge/merge-snapshots.ts). */
export type MergeSnapshots = (context: MergeContext, base: Cid, x: Head, y: Head) => Promise<MergeResult>;

/** An epoch on top of a root. */
export interface EpochTree {
  readonly built: RebasedEpoch;
  /** The objects of `built`, under the tree's ids for them. */
  readonly objects: RebasedEpoch["objects"];
  readonly tree: Cid;
  readonly conflicts: readonly Conflict[];
  /** Our units that lost the conflict. */
  readonly moved?: MovedVersions;
  /** Holds the nodes of all of these trees. */
  readonly nodes: NodeStore;
  /** Our base is no longer in the bucket, so what changed since is unknown. */
  readonly baseGone: boolean;
}

/** How many older trees are searched for a moved file: objects are rarely dirty for longer. */
const OLDER_TREES = 1_000;

export class Workspace {
  readonly nodes: NodeStore;
  readonly staging: Staging;
  readonly #content: ChunkCache;
  readonly #bucket: Bucket;
  readonly #merge: MergeSnapshots;
  readonly #writer: WriterId;
  readonly #changes: ChangeSet;
  readonly #data: DataReader;
  readonly #recovered: VerifiedCommit | undefined;
  #built: RebasedEpoch | undefined;
  /** The commits before the reference whose trees #built read: they may be thinned out later. */
  readonly #older = new Map<Cid, Lamport>();
  #baseGone = false;

  /**
   * Without a session, contents are dropped: to learn which trees an epoch gives. `recovered`: a root whose tree takes the
   * place of the epoch's.
   */
  constructor(
    bucket: Bucket,
    session: ContentSession | undefined,
    merge: MergeSnapshots,
    writer: WriterId,
    changes: ChangeSet,
    data: DataReader,
    recovered?: VerifiedCommit,
  ) {
    this.#recovered = recovered;
    this.#bucket = bucket;
    this.#merge = merge;
    this.#writer = writer;
    this.#changes = changes;
    this.#data = data;
    this.staging = new Staging(bucket.blocks, session);
    this.nodes = new NodeStore(this.staging, { capacityBytes: PUBLISH_NODE_CACHE_BYTES });
    this.#content = new ChunkCache(this.staging, { capacityBytes: PUBLISH_CHUNK_CACHE_BYTES });
  }

  /** The part of `treeOn` that needs no root: cuts and sends contents. Throws as reading and sending do. */
  async build(): Promise<void> {
    const reference = await this.#bucket.commit(this.#changes.reference);
    await this.#build(reference, reference);
  }

  /**
   * The sealed epoch on top of `root`: our own tree if nothing else changed, else merged; always from the sealed epoch,
   * never from an earlier attempt. When the base is gone, from the kept rows, even if a cache could still supply it:
   * otherwise the tree would refer to blocks that the bucket lacks. `newest` says what the bucket retains.
   */
  async treeOn(root: VerifiedCommit, newest = root): Promise<EpochTree> {
    await this.isBaseGone(newest);
    if (!(await this.#areRetained(newest))) this.#built = undefined;
    return this.#treeOn(root, newest);
  }

  async isBaseGone(newest: VerifiedCommit): Promise<boolean> {
    return (this.#baseGone ||= !(await this.#isRetained(newest)));
  }

  /** The sealed epoch by itself, not merged: on its base, or on `root` if that is gone. `newest` says what is retained. */
  async alone(root: VerifiedCommit, newest: VerifiedCommit): Promise<Pick<EpochTree, "built" | "nodes" | "baseGone">> {
    const baseGone = await this.isBaseGone(newest);
    return { built: await this.#build(root, newest), nodes: this.nodes, baseGone };
  }

  async #treeOn(root: VerifiedCommit, newest: VerifiedCommit): Promise<EpochTree> {
    const built = await this.#build(root, newest);
    const common = { built, nodes: this.nodes, baseGone: this.#baseGone };
    if (root.body.tree === built.mergeBase)
      return { ...common, objects: built.objects, tree: built.ours, conflicts: [] };
    const { epoch, lamport } = this.#changes;
    const context: MergeContext = {
      ...this.#buildContext(),
      gone: built.gone,
      policy: await this.#bucket.policy(this.#baseGone ? root : await this.#bucket.commit(this.#changes.reference)),
    };
    const ours: Head = { tree: built.ours, lamport, writer: this.#writer, epoch };
    const theirs: Head = {
      tree: root.body.tree,
      lamport: root.body.seq,
      writer: root.body.writer,
      epoch: root.body.epoch,
    };
    const merged = await this.#merge(context, built.mergeBase, ours, theirs);
    const role = wins(ours, theirs) ? "winner" : "loser";
    const { tree, conflicts } = merged;
    const moved = merged.moved[role];
    const objects = insideCopies(underSuccessors(built.objects, merged.successors[role]), built.objects, moved);
    return { ...common, objects, tree, conflicts, ...(moved.objects.length === 0 ? {} : { moved }) };
  }

  async #build(root: VerifiedCommit, newest: VerifiedCommit): Promise<RebasedEpoch> {
    if (this.#built !== undefined && !this.#baseGone) return this.#built;
    this.#older.clear();
    if (this.#recovered !== undefined) {
      const mergeBase = (await this.#bucket.commit(this.#changes.reference)).body.tree;
      const nothing = { objects: new Map<Ino, RebasedObject>(), unseen: [], gone: new Set<Cid>(), torn: 0 };
      return (this.#built = { ...nothing, mergeBase, ours: this.#recovered.body.tree });
    }
    const reference = this.#baseGone ? root.body.tree : (await this.#bucket.commit(this.#changes.reference)).body.tree;
    const context = {
      ...this.#buildContext(),
      author: { writer: this.#writer, baseGone: this.#baseGone, retainedTrees: () => this.#retainedTrees(newest) },
      olderTrees: () => this.#olderTrees(newest),
    };
    return (this.#built = await rebaseEpoch(context, reference, this.#changes, this.#data));
  }

  async *#olderTrees(newest: VerifiedCommit): AsyncGenerator<Cid> {
    if (this.#baseGone) return;
    const reference = await this.#bucket.commit(this.#changes.reference);
    let left = OLDER_TREES;
    for await (const { cid, body } of log(this.#bucket, newest, reference)) {
      if (cid === reference.cid) continue;
      if (left-- === 0) return;
      this.#older.set(cid, body.seq);
      yield body.tree;
    }
  }

  async *#retainedTrees(newest: VerifiedCommit): AsyncGenerator<Cid> {
    yield newest.body.tree;
    for await (const { cid } of keptCommits(this.nodes, newest)) yield (await this.#bucket.commit(cid)).body.tree;
  }

  /** Whether all older trees that #built read still exist: without one of them, #built might have been different. */
  async #areRetained(newest: VerifiedCommit): Promise<boolean> {
    for (const [cid, seq] of this.#older) if (!(await isRetained(this.nodes, newest, { cid, seq }))) return false;
    return true;
  }

  #buildContext() {
    const { treeConfig, contentConfig } = this.#bucket;
    const { nodes, staging } = this;
    return { nodes, content: this.#content, blocks: staging, sink: staging, treeConfig, contentConfig };
  }

  /** Whether the bucket states that it still has our base and everything in it. */
  async #isRetained(root: VerifiedCommit): Promise<boolean> {
    const { reference, lamport } = this.#changes;
    if (reference === root.cid) return true;
    const seq = await this.#bucket.commit(reference).then(
      (commit) => commit.body.seq,
      () => (lamport - 1) as Lamport,
    );
    return isRetained(this.nodes, root, { cid: reference, seq });
  }
}
