/**
 * Writers in one bucket: they play histories on trees, and every merge of theirs is judged by all the laws that two heads
 * can break.
 */
import { expect } from "vitest";
import type { Cid, Lamport } from "../../src/base/ids.ts";
import { Changes } from "../../src/bucket/merge/changes.ts";
import type { Head, MergeContext } from "../../src/bucket/merge/context.ts";
import { wins } from "../../src/bucket/merge/context.ts";
import { mergeSnapshots, replay } from "../../src/bucket/merge/merge-snapshots.ts";
import type { MergeResult } from "../../src/bucket/merge/merge-snapshots.ts";
import { diff } from "../../src/tree/diff.ts";
import { BlockMap } from "./block-map.ts";
import { createMergeContext, writerId } from "./merge-context.ts";
import { HistoryPlayer, SKELETON } from "./merge-history.ts";
import type { Intent, Theme } from "./merge-history.ts";
import { brokenIntentions, excessCopies, lostVersions, resurrections, survey } from "./merge-laws.ts";
import type { Surveyed } from "./merge-laws.ts";
import { ModelFilesystem } from "./model-filesystem.ts";
import type { Operation } from "./model-filesystem.ts";
import { ModelSealer } from "./model-seal.ts";

const BASE_SEQ = 10;

export class MergeWorld {
  readonly blocks = new BlockMap();
  readonly context: MergeContext = createMergeContext(this.blocks);
  readonly #theme: Theme;
  #time = 0;
  readonly #surveys = new Map<Cid, Promise<Surveyed>>();
  readonly #players = new Map<string, HistoryPlayer>();

  constructor(theme: Theme) {
    this.#theme = theme;
  }

  /** What a writer makes of a tree, sealed. */
  async play(tree: Cid | undefined, label: string, operations: readonly Intent[]): Promise<Cid> {
    this.#time += 1_000;
    const sealer =
      tree === undefined
        ? new ModelSealer(this.context, new ModelFilesystem(this.#time))
        : await ModelSealer.open(this.context, tree, this.#time);
    const player = this.#players.get(label) ?? new HistoryPlayer(label, this.#theme);
    this.#players.set(label, player);
    const apply = async (operation: Operation) => {
      if (operation.op === "commit") await sealer.seal();
      else sealer.model.apply(operation);
    };
    if (tree === undefined) for (const operation of SKELETON) await apply(operation);
    for (const intent of operations)
      for (const operation of player.operations(sealer.model, intent)) await apply(operation);
    return sealer.seal();
  }

  /** The tree of a new bucket. */
  empty(): Promise<Cid> {
    return new ModelSealer(this.context, new ModelFilesystem()).seal();
  }

  /** A side that did exactly this. */
  async headOfDeed(base: Cid, label: string, operations: readonly Operation[]): Promise<Head> {
    this.#time += 1_000;
    const sealer = await ModelSealer.open(this.context, base, this.#time);
    for (const operation of operations) {
      if (operation.op === "commit") await sealer.seal();
      else sealer.model.apply(operation);
    }
    return headOf(await sealer.seal(), label, BASE_SEQ + 1);
  }

  async head(base: Cid, label: string, operations: readonly Intent[], seq = BASE_SEQ + 1): Promise<Head> {
    return headOf(await this.play(base, label, operations), label, seq);
  }

  merge(base: Cid, x: Head, y: Head): Promise<MergeResult> {
    return mergeSnapshots(this.context, base, x, y);
  }

  /** Merges, and checks every law that two heads can break. */
  async judge(base: Cid, x: Head, y: Head): Promise<MergeResult> {
    const merged = await this.merge(base, x, y);
    expect(await this.merge(base, y, x), "commutative").toEqual(merged);
    for (const role of ["winner", "loser"] as const)
      expect(await this.#replay(base, x, y, role), `the same when the ${role}'s change is replayed`).toEqual(merged);
    expect((await this.merge(base, x, { ...x, writer: y.writer })).tree, "idempotent").toBe(x.tree);
    const later = { ...x, tree: merged.tree, lamport: (x.lamport + 1) as Lamport };
    expect((await this.merge(y.tree, later, y)).tree, "merging again changes nothing").toBe(merged.tree);
    const [b, ours, theirs, m] = await Promise.all(
      [base, x.tree, y.tree, merged.tree].map((tree) => this.survey(tree)),
    );
    if (b === undefined || ours === undefined || theirs === undefined || m === undefined) return merged;
    expect([
      ...lostVersions(b, [ours, theirs], m),
      ...resurrections(b, ours, theirs, m),
      ...resurrections(b, theirs, ours, m),
      ...brokenIntentions(b, ours, theirs, m, merged.conflicts),
      ...brokenIntentions(b, theirs, ours, m, merged.conflicts),
      ...excessCopies(merged.conflicts),
    ]).toEqual([]);
    return merged;
  }

  /** All orders of publishing, and a merge of merges: the same versions survive. */
  async judgeGroupings(base: Cid, heads: readonly Head[]): Promise<void> {
    const before = (await this.survey(base)).tokens;
    const outcomes = new Map<string, string[]>();
    for (const order of permutations(heads)) {
      let root: Head | undefined;
      for (const head of order) root = root === undefined ? head : await this.#published(base, root, head);
      if (root === undefined) continue;
      const { tokens } = await this.survey(root.tree);
      outcomes.set(
        order.map(({ writer }) => writer.slice(-2)).join(),
        [...tokens].filter((token) => !before.has(token)).sort(),
      );
    }
    const [first] = outcomes.values();
    for (const [order, versions] of outcomes) expect(versions, order).toEqual(first);
  }

  /** Writers take turns; each merges what it made with the root of the moment, on the last root that it adopted. */
  async publishAll(start: Cid, schedule: readonly { writer: number; ops: readonly Intent[] }[]): Promise<void> {
    let root: Head = { tree: start, lamport: BASE_SEQ as Lamport, writer: writerId("b"), epoch: 1 };
    const adopted = new Map<number, Head>();
    for (const [turn, { writer, ops }] of schedule.entries()) {
      const base = adopted.get(writer) ?? { ...root, tree: start, lamport: BASE_SEQ as Lamport };
      const label = "xyz"[writer] ?? "x";
      const sealed = { ...(await this.head(base.tree, label, ops, base.lamport + 1)), epoch: turn + 1 };
      const tree = root.tree === base.tree ? sealed.tree : (await this.judge(base.tree, root, sealed)).tree;
      root = { ...sealed, tree, lamport: (root.lamport + 1) as Lamport };
      adopted.set(writer, root);
    }
  }

  async #published(base: Cid, root: Head, head: Head): Promise<Head> {
    const { tree } = await this.merge(base, root, head);
    return { ...head, tree, lamport: (root.lamport + 1) as Lamport };
  }

  async #replay(base: Cid, x: Head, y: Head, role: "winner" | "loser"): Promise<MergeResult> {
    const heads = wins(x, y) ? { winner: x, loser: y } : { winner: y, loser: x };
    const changes = new Changes();
    for await (const change of diff(this.context.nodes, base, heads[role].tree)) changes.add(change);
    return replay(this.context, base, heads, role, changes);
  }

  survey(tree: Cid): Promise<Surveyed> {
    const known = this.#surveys.get(tree) ?? survey(this.context, tree);
    this.#surveys.set(tree, known);
    return known;
  }
}

function headOf(tree: Cid, label: string, seq: number): Head {
  return { tree, lamport: seq as Lamport, writer: writerId(label), epoch: 1 };
}

function permutations<Item>(items: readonly Item[]): Item[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]));
}
