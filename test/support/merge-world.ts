/** Writers in one bucket that play histories on trees. Every merge is checked against all laws that two heads can break. */
import { isDeepStrictEqual } from "node:util";
import type { Cid, Lamport } from "../../src/base/ids.ts";
import type { Head, MergeContext } from "../../src/fstree/merge/context.ts";
import { wins } from "../../src/fstree/merge/context.ts";
import { mergeSnapshots, replayOf } from "../../src/fstree/merge/merge-snapshots.ts";
import type { MergeResult } from "../../src/fstree/merge/merge-snapshots.ts";
import type { Operation } from "../../src/simulate/scenarios/scenario.ts";
import { BlockMap } from "./block-map.ts";
import { createMergeContext, writerId } from "./merge-context.ts";
import { HistoryPlayer, PLAIN } from "./merge-history.ts";
import type { Intent, Theme } from "./merge-history.ts";
import { gainedPrivileges, gainedRights } from "./access-laws.ts";
import { brokenIntentions, excessCopies, lostSurvivors, lostVersions, resurrections, survey } from "./merge-laws.ts";
import type { Surveyed } from "./merge-laws.ts";
import { ModelFilesystem } from "./model-filesystem.ts";
import { ModelSealer } from "./model-seal.ts";
import { contestedUnits, lostLinks, spoiltUnits, tornUnits } from "./unit-laws.ts";

const BASE_SEQ = 10;

export class MergeWorld {
  readonly blocks = new BlockMap();
  readonly context: MergeContext = createMergeContext(this.blocks);
  /** The violated laws, as text; empty if all is well. */
  readonly faults: string[] = [];
  /** How many units both sides changed, over all judged merges. */
  contested = 0;
  readonly #theme: Theme;
  #time = 0;
  readonly #surveys = new Map<Cid, Promise<Surveyed>>();
  readonly #players = new Map<string, HistoryPlayer>();

  constructor(theme: Theme) {
    this.#theme = theme;
  }

  /** Plays a writer's operations on a tree, and seals the result. */
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
    if (tree === undefined) for (const operation of (this.#theme.setting ?? PLAIN).skeleton) await apply(operation);
    for (const intent of operations)
      for (const operation of player.operations(sealer.model, intent)) await apply(operation);
    return sealer.seal();
  }

  /** The tree of a new bucket. */
  empty(): Promise<Cid> {
    return new ModelSealer(this.context, new ModelFilesystem()).seal();
  }

  /** A head whose side made exactly these operations. */
  async headOfAction(base: Cid, label: string, operations: readonly Operation[]): Promise<Head> {
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

  /** Merges, and notes every violated law of two heads. */
  async judge(base: Cid, x: Head, y: Head): Promise<MergeResult> {
    const merged = await this.merge(base, x, y);
    this.#same("named in the other order", await this.merge(base, y, x), merged);
    for (const role of ["winner", "loser"] as const)
      this.#same(`with the ${role}'s change replayed`, await this.#replay(base, x, y, role), merged);
    this.#same("merged with itself", (await this.merge(base, x, { ...x, writer: y.writer })).tree, x.tree);
    const later = { ...x, tree: merged.tree, lamport: (x.lamport + 1) as Lamport };
    this.#same("merged again", (await this.merge(y.tree, later, y)).tree, merged.tree);
    const [before, after] = [await this.survey(base), await this.survey(merged.tree)];
    const sides = [await this.survey(x.tree), await this.survey(y.tree)];
    const undone = merged.conflicts.filter(({ kind }) => kind === "dropped-move");
    const back = new Set(undone.map(({ ids }) => ids.kept));
    const units = contestedUnits(before, sides[0] ?? before, sides[1] ?? before, back);
    const except = new Set(units.flatMap(({ ids }) => [...ids]));
    this.contested += units.length;
    this.faults.push(...tornUnits(units, after));
    for (const [index, [side, other]] of ([sides, sides.toReversed()] as [Surveyed, Surveyed][]).entries()) {
      this.faults.push(
        ...lostLinks(units, before, [side, other], index, after),
        ...spoiltUnits(units, before, [side, other], after),
        ...lostVersions(before, side, after),
        ...resurrections(before, side, other, after, except),
        ...lostSurvivors(before, side, other, after, except),
        ...brokenIntentions(before, side, other, after, merged.conflicts, except),
      );
    }
    this.faults.push(...gainedRights(sides, after), ...gainedPrivileges(sides, after));
    this.faults.push(...excessCopies(merged.conflicts));
    return merged;
  }

  /** Publishes in all orders, with winning and losing newcomers: the same versions must survive. */
  async judgeGroupings(base: Cid, heads: readonly Head[]): Promise<void> {
    const before = (await this.survey(base)).tokens;
    let first: string[] | undefined;
    for (const order of permutations(heads)) {
      for (const late of [false, true]) {
        const { tokens } = await this.survey(await this.#publishInOrder(base, order, late));
        const versions = [...tokens].filter((token) => !before.has(token)).sort();
        this.#same(
          `versions when published as ${order.map(({ writer }) => writer.slice(-2))}`,
          versions,
          first ?? versions,
        );
        first ??= versions;
      }
    }
  }

  /** Writers take turns; each merges its changes, based on the last root that it adopted, with the current root. */
  async publishAll(start: Cid, schedule: readonly { writer: number; ops: readonly Intent[] }[]): Promise<void> {
    let root: Head = { tree: start, lamport: BASE_SEQ as Lamport, writer: writerId("b"), epoch: 1 };
    const adopted = new Map<number, Head>();
    for (const [turn, { writer, ops }] of schedule.entries()) {
      const base = adopted.get(writer) ?? { ...root, tree: start, lamport: BASE_SEQ as Lamport };
      const label = "xyzuv"[writer] ?? "x";
      const sealed = { ...(await this.head(base.tree, label, ops, base.lamport + 1)), epoch: turn + 1 };
      const tree = root.tree === base.tree ? sealed.tree : (await this.judge(base.tree, root, sealed)).tree;
      root = { ...sealed, tree, lamport: (root.lamport + 1) as Lamport };
      adopted.set(writer, root);
    }
  }

  /** `late`: each newcomer has seen more roots than the one that it meets, and wins. */
  async #publishInOrder(base: Cid, heads: readonly Head[], late: boolean): Promise<Cid> {
    let root: Head | undefined;
    for (const head of heads) {
      const lamport = ((root?.lamport ?? BASE_SEQ) + 1) as Lamport;
      const tree =
        root === undefined ? head.tree : (await this.merge(base, root, late ? { ...head, lamport } : head)).tree;
      root = { tree, lamport, writer: head.writer, epoch: head.epoch };
    }
    return root?.tree ?? base;
  }

  #same(what: string, found: unknown, expected: unknown): void {
    if (!isDeepStrictEqual(found, expected))
      this.faults.push(`${what}: ${JSON.stringify(found)}, but ${JSON.stringify(expected)}`);
  }

  #replay(base: Cid, x: Head, y: Head, role: "winner" | "loser"): Promise<MergeResult> {
    const heads = wins(x, y) ? { winner: x, loser: y } : { winner: y, loser: x };
    return replayOf(this.context, base, heads, role);
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
  return items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map((rest) => [item].concat(rest)));
}
