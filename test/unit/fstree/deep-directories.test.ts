/** Directories in one another, deeper than people make them: work grows with their number, not with its square. */
import { expect, test, vi } from "vitest";
import { publishEpoch } from "../../../src/bucket/publish.ts";
import type { VerifiedCommit } from "../../../src/bucket/verified-commit.ts";
import { mergeSnapshots } from "../../../src/fstree/merge/merge-snapshots.ts";
import type { Operation } from "../../../src/simulate/scenarios/scenario.ts";
import { NodeStore } from "../../../src/tree/node-store.ts";
import { epochOf, type ObjectEdit } from "../../support/epochs.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { MergeWorld } from "../../support/merge-world.ts";
import { createBucket, newWriter } from "../../support/test-bucket.ts";

/** Nodes that are looked up meanwhile. */
async function lookUps(work: () => Promise<unknown>): Promise<number> {
  const looked = vi.spyOn(NodeStore.prototype, "peek");
  try {
    await work();
    return looked.mock.calls.length;
  } finally {
    looked.mockRestore();
  }
}

/** How much more twice the depth costs: a little more than twice as much, as the tree of nodes grows, too. */
async function growth(costOf: (depth: number) => Promise<number>): Promise<number> {
  return (await costOf(480)) / (await costOf(240));
}

const removal: Operation = { op: "rmtree", path: ".git" };
const change = (path: string, content: string): Operation => ({ op: "write", path, content });

test.each([
  ["that one side changed", (bottom: string) => [[change(bottom, "x")], others("y")]],
  ["that both sides changed", (bottom: string) => [[change(bottom, "x")], [change(bottom, "y")]]],
  ["that one side removed", () => [[removal], others("y")]],
])("units in one another %s", async (_, sidesOf) => {
  const grows = await growth(async (depth) => {
    const world = new MergeWorld({ actions: [0], files: [0] });
    const way = Array.from({ length: depth }, () => ".git");
    const bottom = [...way, "f"].join("/");
    const dirs = way.map((_, index): Operation => ({ op: "mkdir", path: way.slice(0, index + 1).join("/") }));
    const first = [...dirs, change(bottom, "old"), ...others("old")];
    const base = (await world.headOfAction(await world.empty(), "b", first)).tree;
    const [x = [], y = []] = sidesOf(bottom);
    const heads = [await world.headOfAction(base, "x", x), await world.headOfAction(base, "y", y)] as const;
    return lookUps(() => mergeSnapshots(world.context, base, ...heads));
  });
  expect(grows).toBeLessThan(3);
});

function others(content: string): Operation[] {
  return Array.from({ length: 1_200 }, (_, index) => change(`${index}.bin`, content));
}

test("a directory that others made at the name of an epoch's new file", async () => {
  const grows = await growth(async (depth) => {
    const bucket = await createBucket(new MemoryRemote());
    const [ours, theirs] = [await newWriter(bucket, 2), await newWriter(bucket, 3)];
    const publish = async (writer: typeof ours, edits: ObjectEdit[]) => {
      const { commit } = (await bucket.current()) as { readonly commit: VerifiedCommit };
      const { changes, data } = epochOf({ commit: commit.cid, seq: commit.body.seq }, 1, edits);
      return publishEpoch(writer, changes, data);
    };
    const directories = Array.from({ length: depth }, (_, index): ObjectEdit => {
      return { ino: 10 + index, names: [index === 0 ? [1, "x"] : [9 + index, "d"]], type: "directory" };
    });
    await publish(theirs, directories);
    return lookUps(() => publish(ours, [{ ino: 2, names: [[1, "x"]], bytes: Buffer.from("ours") }]));
  });
  expect(grows).toBeLessThan(3);
});
