/** What a merge keeps in memory while it writes: where all of very many files conflict, that decides whether it can end. */
import { expect, test } from "vitest";
import type { BlockSink } from "../../../../src/blocks/block-store.ts";
import { mergeSnapshots } from "../../../../src/fstree/merge/merge-snapshots.ts";
import { collectGarbage } from "../../../../src/runtime/memory.ts";
import type { Operation } from "../../../../src/simulate/scenarios/scenario.ts";
import { MergeWorld } from "../../../support/merge-world.ts";

const FILES = 1_000;

test.each([
  ["changed", 4_200],
  ["made", 3_900],
])("a file that both sides have %s takes less than %d bytes of heap", async (what, bytes) => {
  const world = new MergeWorld({ actions: [0], files: [0] });
  const write = (content: string): Operation[] =>
    Array.from({ length: FILES }, (_, at) => ({ op: "write", path: `file-${at}.bin`, content: `${content} ${at}` }));
  const base = (await world.headOfAction(await world.empty(), "b", what === "changed" ? write("old") : [])).tree;
  const x = await world.headOfAction(base, "x", write("x"));
  const y = await world.headOfAction(base, "y", write("y"));
  let most = 0;
  let puts = 0;
  const sink: BlockSink = {
    put: (block) => {
      if (puts++ % 50 === 0) most = Math.max(most, heapBytes());
      return world.blocks.put(block);
    },
  };
  const before = heapBytes();
  const { conflicts } = await mergeSnapshots({ ...world.context, sink }, base, x, y);
  expect(conflicts).toHaveLength(FILES);
  expect((most - before) / FILES).toBeLessThan(bytes);
});

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}
