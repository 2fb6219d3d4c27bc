// Two writers change one tree of files; their changes are merged, in memory, by the library alone.
// In a checkout: npm run build && node examples/merge-two-trees/main.mjs
import { FileTrees } from "syncline/bucket";
import { KeyTrees, memoryBlocks } from "syncline/tree";

const files = new FileTrees(memoryBlocks());
const base = await files.change(await files.empty(), { "notes.txt": "a\nb\nc\n", "photo.raw": "old" }, 1n);

/** @param {string} writer @param {import("syncline/bucket").FileChanges} changes @param {bigint} timeNs */
const side = async (writer, changes, timeNs) => {
  return { tree: await files.change(base, changes, timeNs), seq: 2, writer: writer.padStart(32, "0"), epoch: 1 };
};
const ann = await side("a", { "notes.txt": "A\nb\nc\n", "photo.raw": "Ann's", "new/of-ann.txt": "hello\n" }, 2n);
const bob = await side("b", { "notes.txt": "a\nb\nC\n", "photo.raw": "Bob's" }, 3n);

const merged = await files.merge(base, ann, bob);
for await (const { path, type } of files.list(merged.tree)) {
  const bytes = await files.read(merged.tree, path);
  console.log(`${path}: ${bytes === undefined ? type : JSON.stringify(Buffer.from(bytes).toString())}`);
}
for (const { kind, rule, kept, other } of merged.conflicts) console.log(`${kind} (${rule}): ${other} beside ${kept}`);
console.log(
  `the other order: ${(await files.merge(base, bob, ann)).tree === merged.tree ? "the same tree" : "differs"}`,
);

// Below it: rows of bytes. Of counters that both sides changed, the sum of what they added is right.
const trees = new KeyTrees(memoryBlocks());
/** @param {string} key @param {number} value */
const row = (key, value) => ({ key: Buffer.from(key), value: Buffer.from(String(value)), links: [] });
const zero = await trees.edit(await trees.empty(), [row("apples", 1), row("pears", 1)]);
const [ours, theirs] = [
  await trees.edit(zero, [row("apples", 3)]),
  await trees.edit(zero, [row("apples", 5), row("plums", 9)]),
];
/** @param {{ value: Uint8Array } | undefined} entry */
const number = (entry) => Number(Buffer.from(entry?.value ?? []).toString());
const sum = await trees.merge(zero, ours, theirs, (_key, base, ours, theirs) => {
  return { value: Buffer.from(String(number(ours) + number(theirs) - number(base))), links: [] };
});
for await (const { key, value } of trees.range(sum)) console.log(`${Buffer.from(key)} ${Buffer.from(value)}`);
