/** `syncline log --graph`: a column a writer, and who took in whose epochs. */
import { expect, test } from "vitest";
import type { WriterId } from "../../../../src/base/ids.ts";
import { graphRows } from "../../../../src/cli/commands/log-graph.ts";
import { ConflictedBucket, write } from "../../../support/conflicted-bucket.ts";

/** "a1 b0": what the writer of the first letter published, with these heads. */
function commit(text: string) {
  const heads = new Map(text.split(" ").map((head) => [head.charAt(0) as WriterId, Number(head.slice(1))] as const));
  return { heads, body: { writer: text.charAt(0) as WriterId } } as unknown as Parameters<typeof graphRows>[0][number];
}

test("a star marks each commit, and a line joins two commits of one writer", () => {
  const rows = graphRows(["a3 b1 c1", "b1 a2", "c1 a2", "a2", "b0", "a1"].map(commit));
  expect(rows.map(({ lanes }) => lanes)).toEqual(["*", "| *", "| | *", "* |", "| *", "*"]);
});

test("a commit takes in what others published since its writer's previous commit", () => {
  const rows = graphRows(["a3 b5 c1", "c1 a2 b5", "b5 a2", "b4 a2", "a2 b3", "b3"].map(commit));
  expect(rows.map(({ takesIn }) => takesIn.map(({ writer, epoch }) => writer + epoch).join(" "))).toEqual([
    "b5 c1",
    "",
    "",
    "a2",
    "",
    "",
  ]);
});

test("in a bucket with two writers, the first takes in the other's epoch with its next commit", async () => {
  const bucket = await ConflictedBucket.create();
  await bucket.edit(write("f", "1"), write("g", "2"));
  await bucket.edit(write("f", "3"));
  const { lines } = await bucket.run("log", "--graph", bucket.address);
  expect(lines.map((line) => line.slice(0, 5).trimEnd())).toEqual(["*", "| *", "*", "    *"]);
  const [newest, second] = await bucket.json("log", "--graph", bucket.address);
  expect(newest).toMatchObject({ lanes: "*", takesIn: [{ writer: second?.["writer"], epoch: second?.["epoch"] }] });
});
