/** The library's trees: what they refuse. */
import { expect, test } from "vitest";
import { KeyTrees, memoryBlocks } from "../../../src/library/tree.ts";

const row = (key: string) => ({ key: Buffer.from(key), value: Buffer.from("v"), links: [] });

test.each([{ cacheBytes: Number.NaN }, { cacheBytes: -1 }, { salt: new Uint8Array(31) }, { nodeBytes: Number.NaN }])(
  "%j is refused, and loses no rows",
  (options) => {
    expect(() => new KeyTrees(memoryBlocks(), options)).toThrow(expect.objectContaining({ code: "config_invalid" }));
  },
);

test("a cache of no bytes keeps all rows", async () => {
  const trees = new KeyTrees(memoryBlocks(), { cacheBytes: 0 });
  const tree = await trees.edit(await trees.empty(), [row("a"), row("b")]);
  const found = await trees.get(tree, Buffer.from("b"));
  expect(Buffer.from(found?.value ?? []).toString()).toBe("v");
});

test("edits out of order are refused as the caller's", async () => {
  const trees = new KeyTrees(memoryBlocks());
  await expect(trees.edit(await trees.empty(), [row("b"), row("a")])).rejects.toMatchObject({ code: "usage" });
});
