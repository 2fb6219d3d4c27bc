/** What commits include, while a bucket gets more and more writers. */
import { describe, expect, test } from "vitest";
import type { WriterId } from "../../../src/base/ids.ts";
import { MAX_LISTED_HEADS_BYTES } from "../../../src/base/limits.ts";
import { CommitHeads } from "../../../src/bucket/commit-heads.ts";
import { isLinked } from "../../../src/format/blocks/linked-value.ts";
import { HEADS_TREE_FEATURE } from "../../../src/format/commits/features.ts";
import { type HeadsField, isHeadsTree } from "../../../src/format/commits/heads.ts";
import { createTreeConfig } from "../../../src/tree/boundary.ts";
import { buildTree } from "../../../src/tree/edit.ts";
import { NodeStore } from "../../../src/tree/node-store.ts";
import { BlockMap } from "../../support/block-map.ts";
import { noise } from "../../support/bytes.ts";
import { collectIn, EAGER, faultsOf, HOUR_MS, Hours, newStore, opened } from "../../support/collected-store.ts";
import { headsOf, includeAll } from "../../support/many-writers.ts";

const MANY = 10_000;

function world() {
  const blocks = new BlockMap();
  const treeConfig = createTreeConfig({ salt: new Uint8Array(16) });
  const nodes = new NodeStore(blocks, { capacityBytes: 1 << 20 });
  return { blocks, heads: new CommitHeads(blocks), into: { nodes, sink: blocks, treeConfig } };
}

const formOf = (heads: HeadsField) => (isHeadsTree(heads) ? "tree" : isLinked(heads) ? "block" : "inline");

describe("the heads of a commit", () => {
  test("read the same inline, in a block and in a tree, in whatever order writers came", async () => {
    const { heads, into } = world();
    const forms = [];
    for (const count of [1, 40, 60, 1_500, 2_000]) {
      const all = [...headsOf(count + 1)];
      const [[writer, epoch] = ["" as WriterId, 0], last = ["" as WriterId, 0]] = [all[0], all.at(-1)];
      const most = await heads.with({ heads: new Map(all.slice(1, -1)) }, writer, epoch, into);
      const field = await heads.with({ heads: most }, ...last, into);
      expect(field).toEqual(await heads.with({ heads: new Map(all.slice(0, -1)) }, ...last, into));
      await heads.check({ heads: field });
      expect([...(await heads.all({ heads: field }))].toSorted()).toEqual(all.toSorted());
      expect(await heads.epochOf({ heads: field }, writer)).toBe(epoch);
      expect(await heads.epochOf({ heads: field }, "f".repeat(32) as WriterId)).toBe(0);
      forms.push(formOf(field));
    }
    expect(forms).toEqual(["inline", "inline", "block", "block", "tree"]);
  });

  test("cost a commit little, however many writers there are", async () => {
    const { blocks, heads, into } = world();
    const [first = ["" as WriterId, 0], ...others] = headsOf(MANY);
    const field = await heads.with({ heads: new Map(others) }, ...first, into);
    const before = blocks.puts.length;
    const next = await heads.with({ heads: field }, first[0], 8, into);
    const put = blocks.puts.slice(before).reduce((sum, { bytes }) => sum + bytes.length, 0);
    expect(await heads.epochOf({ heads: next }, first[0])).toBe(8);
    expect(put).toBeLessThan(2 * MAX_LISTED_HEADS_BYTES);
  });

  test("are refused if a row of the tree has no writer or no epoch", async () => {
    const { blocks, heads, into } = world();
    for (const row of [
      { key: Buffer.alloc(15, 1), value: Uint8Array.of(1), links: [] },
      { key: Buffer.alloc(16, 1), value: Uint8Array.of(0x20), links: [] },
    ]) {
      const tree = await buildTree(into.nodes, blocks, into.treeConfig, [row]);
      await expect(heads.all({ heads: { tree } })).rejects.toThrow(expect.objectContaining({ code: "format_invalid" }));
    }
  });
});

describe("a bucket with many writers", () => {
  test("is written, collected and verified, and says that it needs a version that knows trees of heads", async () => {
    const hours = new Hours();
    const store = await newStore(hours);
    const agent = await opened(store, hours);
    await includeAll(agent.context, headsOf(MANY), 0);
    const other = await opened(store, hours);
    for (let save = 0; save < 6; save++) {
      expect(await other.put("file", noise(3_000, save))).toBe("published");
      hours.ms += 30 * HOUR_MS;
    }
    await collectIn(store, hours, EAGER);
    expect(await other.put("file", noise(3_000, 7))).toBe("published");
    const { bucket } = await opened(store, hours);
    const { body } = (await bucket.head()).commit;
    expect(body.features.incompat).toEqual([HEADS_TREE_FEATURE]);
    expect(formOf(body.heads)).toBe("tree");
    const heads = await bucket.heads.all(body);
    expect(heads.size).toBeGreaterThan(MANY);
    expect(heads.get(other.context.writer.device.writer)).toBe(7);
    expect(await faultsOf(store, hours)).toEqual([]);
  });
});
