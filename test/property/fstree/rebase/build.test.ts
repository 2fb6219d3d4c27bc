/** Building an epoch's tree, against a model that knows the rules only. SYNCLINE_TEST_ALL: 5,000 histories. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Cid, Lamport } from "../../../../src/base/ids.ts";
import { rebaseEpoch } from "../../../../src/fstree/rebase/rebase.ts";
import { checkTree } from "../../../../src/bucket/verify/tree-check.ts";
import { totalsAfter, NO_TOTALS } from "../../../../src/bucket/totals.ts";
import { emptyTree } from "../../../../src/tree/edit.ts";
import { createMergeContext } from "../../../support/merge-context.ts";
import { epochOfModel } from "../../../support/model-epoch.ts";
import { ModelFilesystem } from "../../../support/model-filesystem.ts";
import { ModelSealer } from "../../../support/model-seal.ts";
import { actions, play } from "../../../support/operations.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const runs = { numRuns: all ? 5_000 : 150 };
const patience = all ? 3_600_000 : 60_000;
const COMMIT = "bafyr4iaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" as Cid;
const SEQ = 10 as Lamport;

describe("building", () => {
  test(
    "an epoch's tree equals the tree of the whole state, with the ids that the rules give",
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(actions(8), { minLength: 2, maxLength: 4 }), async (epochs) => {
          const context = createMergeContext();
          const sealer = new ModelSealer(context, new ModelFilesystem());
          let tree = await sealer.seal();
          for (const [index, epoch] of epochs.entries()) {
            play(sealer.model, epoch);
            const base = { commit: COMMIT, tree, seq: SEQ };
            const { changes, data } = await epochOfModel(context, sealer.model, base, index + 1);
            const built = await rebaseEpoch(context, tree, changes, data);
            expect(built.mergeBase).toBe(tree);
            expect(built.unseen).toEqual([]);
            tree = await sealer.seal();
            expect(built.ours).toBe(tree);
          }
        }),
        runs,
      );
    },
    patience,
  );

  test(
    "the same epoch gives the same tree and ids, whatever its inode numbers and the order of its objects",
    async () => {
      await fc.assert(
        fc.asyncProperty(actions(10), actions(10), fc.nat(), async (before, after, seed) => {
          const context = createMergeContext();
          const sealer = new ModelSealer(context, new ModelFilesystem());
          play(sealer.model, before);
          const tree = await sealer.seal();
          play(sealer.model, after);
          const base = { commit: COMMIT, tree, seq: SEQ };
          const results = [];
          for (const shuffle of [undefined, shuffled(seed)]) {
            const { changes, data, inodes } = await epochOfModel(context, sealer.model, base, 1, shuffle);
            const built = await rebaseEpoch(context, tree, changes, data);
            const ids = new Map([...built.objects].map(([ino, { id }]) => [inodes.get(ino), id]));
            results.push({ ours: built.ours, ids });
          }
          expect(results[1]?.ours).toBe(results[0]?.ours);
          expect(results[1]?.ids).toEqual(results[0]?.ids);
        }),
        runs,
      );
    },
    patience,
  );

  test(
    "totals updated from the changes equal those of the tree, which verifies",
    async () => {
      await fc.assert(
        fc.asyncProperty(actions(12), actions(12), async (before, after) => {
          const context = createMergeContext();
          const sealer = new ModelSealer(context, new ModelFilesystem());
          const empty = await emptyTree(context.nodes, context.sink, context.treeConfig);
          let [tree, totals] = [empty, NO_TOTALS];
          for (const list of [before, after]) {
            play(sealer.model, list);
            const next = await sealer.seal();
            totals = await totalsAfter(context.nodes, tree, totals, next);
            tree = next;
            const damage = [];
            for await (const item of checkTree(context, tree, totals)) damage.push(item);
            expect(damage).toEqual([]);
          }
        }),
        runs,
      );
    },
    patience,
  );
});

/** An order that `seed` decides. */
function shuffled(seed: number): <Item>(items: Item[]) => Item[] {
  return (items) => {
    const keyed = items.map((item, index) => ({ item, key: Math.imul(index + 1, seed | 1) >>> 0 }));
    return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item);
  };
}
