/**
 * Epochs whose objects became dirty on an older root than the one that they are built on: the kept rows stand in for what the
 * newer root no longer has. SYNCLINE_TEST_ALL: 5,000 histories.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Cid, Lamport } from "../../src/base/ids.ts";
import { nameFromText, nameToText } from "../../src/base/names.ts";
import { buildEpoch } from "../../src/bucket/build.ts";
import { directoryNames } from "../../src/bucket/merge/conflict-names.ts";
import { mergeSnapshots } from "../../src/bucket/merge/merge-snapshots.ts";
import { createMergeContext, writerId } from "../support/merge-context.ts";
import { lostVersions, resurrections, survey } from "../support/merge-laws.ts";
import { epochOfModel } from "../support/model-epoch.ts";
import { ModelFilesystem } from "../support/model-filesystem.ts";
import { ModelSealer } from "../support/model-seal.ts";
import { deeds, play } from "../support/operations.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const runs = { numRuns: all ? 5_000 : 150 };
const COMMIT = "bafyr4iaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" as Cid;
const SEQ = 10 as Lamport;

/** Who has files under the names that the base's directories get when they give way. */
const crowds = fc.record({ ours: fc.boolean(), theirs: fc.boolean() });

describe("an epoch on a root that moved under its dirty objects", () => {
  const timeout = all ? 3_600_000 : 60_000;

  test(
    "loses nothing, brings nothing back, and gives a valid tree",
    async () => {
      await expect(judged(true)).resolves.toBeUndefined();
    },
    timeout,
  );

  test(
    "loses nothing and gives a valid tree when nobody has an older root",
    async () => {
      await expect(judged(false)).resolves.toBeUndefined();
    },
    timeout,
  );
});

async function judged(isBaseThere: boolean): Promise<void> {
  await fc.assert(
    fc.asyncProperty(deeds(6), deeds(4), deeds(6), deeds(6), crowds, async (born, moved, ours, theirs, crowd) => {
      const context = createMergeContext();
      const start = new ModelSealer(context, new ModelFilesystem());
      // Two epochs, so that files of the base may be elsewhere than where they were born.
      play(start.model, born);
      await start.seal();
      play(start.model, moved);
      const base = await start.seal();
      const [mine, other] = [
        await ModelSealer.open(context, base, 1_000),
        await ModelSealer.open(context, base, 2_000),
      ];
      if (crowd.ours) takeConflictNames(mine.model, "ours");
      if (crowd.theirs) takeConflictNames(other.model, "theirs");
      play(mine.model, ours);
      play(other.model, theirs);
      const root = await other.seal();

      const adopted = { commit: COMMIT, tree: base, seq: SEQ };
      const { changes, data } = await epochOfModel(context, mine.model, adopted, 1);
      const olderTrees = async function* () {
        if (isBaseThere) yield base;
      };
      const built = await buildEpoch({ ...context, olderTrees }, root, changes, data);
      // Both trees are valid in themselves.
      await survey(context, built.mergeBase);
      await survey(context, built.ours);
      const { tree } = await mergeSnapshots(
        context,
        built.mergeBase,
        { tree: built.ours, lamport: (SEQ + 1) as Lamport, writer: writerId("m"), epoch: 1 },
        { tree: root, lamport: SEQ, writer: writerId("o"), epoch: 1 },
      );
      const sides = [await survey(context, await mine.seal()), await survey(context, root)] as const;
      const [first, merged] = [await survey(context, base), await survey(context, tree)];
      expect(sides.flatMap((side) => lostVersions(first, side, merged))).toEqual([]);
      if (!isBaseThere) return;
      // A newcomer may be given the id of what the other side deleted: that one is not back.
      const old = new Set(changes.objects.map(({ id }) => id));
      const given = [...built.objects.values()].map(({ id }) => id).filter((id) => !old.has(id));
      const back = [
        ...resurrections(first, sides[0], sides[1], merged),
        ...resurrections(first, sides[1], sides[0], merged),
      ];
      expect(back.filter((message) => !given.some((id) => message.includes(id)))).toEqual([]);
    }),
    runs,
  );
}

/** Files under the names that directories get when they give way. */
function takeConflictNames(model: ModelFilesystem, content: string): void {
  for (const [path, { type, id }] of model.paths()) {
    if (type !== "directory" || id === undefined) continue;
    const [folder, name] = [path.slice(0, path.lastIndexOf("/") + 1), path.slice(path.lastIndexOf("/") + 1)];
    const [beside] = directoryNames(nameFromText(name), id);
    if (beside !== undefined)
      model.apply({ op: "write", path: folder + nameToText(beside), content: `${content} beside ${id}` });
  }
}
