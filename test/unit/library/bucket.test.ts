/** The library's trees of files: deep and damaged trees, paths without UTF-8, and merges without a winning side. */
import { expect, test } from "vitest";
import { FileTrees, type Side } from "../../../src/library/bucket.ts";
import { KeyTrees, memoryBlocks } from "../../../src/library/tree.ts";

const WRITER = "0".repeat(32);

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

async function paths(files: FileTrees, tree: Side["tree"]): Promise<string[]> {
  return (await all(files.list(tree))).map(({ path }) => path);
}

test("a tree is listed depth first, however deep it is", { timeout: 60_000 }, async () => {
  const files = new FileTrees(memoryBlocks());
  const few = await files.change(await files.empty(), { b: "2", "a/z": "1", "a/y/x": "0" }, 1n);
  expect(await paths(files, few)).toEqual(["a", "a/y", "a/y/x", "a/z", "b"]);
  const deep = await files.change(await files.empty(), { [`${"a/".repeat(3_500)}f`]: "1" }, 1n);
  const found = await paths(files, deep);
  expect(found).toHaveLength(3_501);
});

test("listing a tree fails if a directory lies inside itself", async () => {
  const blocks = memoryBlocks();
  const [files, rows] = [new FileTrees(blocks), new KeyTrees(blocks)];
  const tree = await files.change(await files.empty(), { "d/e/f": "1" }, 1n);
  const found = await all(rows.range(tree));
  const named = (name: string) => found.find(({ key }) => key.at(-1) === name.charCodeAt(0) && key.length > 10);
  const [d, e] = [named("d"), named("e")];
  if (d === undefined || e === undefined) throw new Error("the rows were not found");
  const cyclic = await rows.edit(tree, [{ ...d, key: e.key }]);
  await expect(paths(files, cyclic)).rejects.toMatchObject({ code: "format_invalid" });
});

test("paths that cannot be encoded in UTF-8 are refused, since two could become one", async () => {
  const files = new FileTrees(memoryBlocks());
  const empty = await files.empty();
  await expect(files.change(empty, { "a\ud800": "1" }, 1n)).rejects.toMatchObject({ code: "name_invalid" });
  await expect(files.read(empty, "a\ud800")).rejects.toMatchObject({ code: "name_invalid" });
});

test("sides that differ without a winner are refused, and so are malformed sides", async () => {
  const files = new FileTrees(memoryBlocks());
  const base = await files.change(await files.empty(), { t: "0" }, 1n);
  const side = async (text: string, more: Partial<Side> = {}): Promise<Side> => {
    return { tree: await files.change(base, { t: text }, 2n), seq: 2, writer: WRITER, epoch: 1, ...more };
  };
  const [a, b] = [await side("A"), await side("B")];
  await expect(files.merge(base, a, b)).rejects.toMatchObject({ code: "usage" });
  expect((await files.merge(base, a, a)).tree).toBe(a.tree);
  for (const more of [{ writer: "me" }, { seq: Number.NaN }, { epoch: 0.5 }]) {
    await expect(files.merge(base, a, await side("B", more))).rejects.toMatchObject({ code: "usage" });
  }
  const later = { ...b, epoch: 2 };
  expect(await files.merge(base, a, later)).toEqual(await files.merge(base, later, a));
});
