/** Units that a folder changes while it shows an older version of them, and has files that it ignores. */
import { expect, test } from "vitest";
import { path, settle, settledTree, twoFolders } from "../../../support/sync-world.ts";
import { inOrder, sorted } from "../../../support/unit-world.ts";

const RULES = path(".synclineignore");

/** Both have a repository with `head` and `old`. Then the first removed `old`, which the second ignores. */
async function withOldIgnored() {
  const { world, a, b } = await twoFolders();
  a.disk.make(path(".git"));
  for (const name of [".git/head", ".git/old"]) a.disk.write(path(name), "base");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.remove(path(".git/old"));
  await a.sync();
  b.disk.write(RULES, "old\n");
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  a.disk.write(path(".git/head"), "a");
  for (const name of [".git/head", ".git/new"]) b.disk.write(path(name), "b");
  await a.sync();
  return { world, a, b };
}

test("a copy of a repository has what the folder showed, also what was ignored until now", async () => {
  const { world, b } = await withOldIgnored();
  b.disk.write(RULES, "another\n");
  const { repositories } = sorted(Object.fromEntries(await settledTree(world)));
  expect(repositories).toEqual(inOrder([{ head: "a" }, { head: "b", new: "b", old: "base" }]));
});

test("what is ignored in a repository is not in its copy, nor in the folder's once it is no longer ignored", async () => {
  const { world, a, b } = await withOldIgnored();
  await settle(world);
  for (const { disk } of [a, b]) disk.remove(RULES);
  const { repositories } = sorted(Object.fromEntries(await settledTree(world)));
  expect(repositories).toEqual(inOrder([{ head: "a" }, { head: "b", new: "b" }]));
});
