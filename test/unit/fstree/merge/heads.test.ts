import { expect, test } from "vitest";
import type { Cid, Lamport, WriterId } from "../../../../src/base/ids.ts";
import { wins } from "../../../../src/fstree/merge/context.ts";

const head = (lamport: number, writer: string, epoch: number) => ({
  tree: "" as Cid,
  lamport: lamport as Lamport,
  writer: writer as WriterId,
  epoch,
});

test("the winner is the later commit, then the greater writer id, then the later epoch", () => {
  const ascending = [head(1, "a", 2), head(1, "b", 1), head(1, "b", 2), head(2, "a", 1)];
  for (const [index, x] of ascending.entries())
    for (const [other, y] of ascending.entries()) expect(wins(x, y)).toBe(index > other);
});
