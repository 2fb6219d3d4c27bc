/** Repositories and databases that two folders changed: each side's is whole in the end, in both folders, once. */
import { expect, test } from "vitest";
import { path, settle, settledTree, type SyncedFolder, twoFolders } from "../../support/sync-world.ts";
import { inOrder, sorted } from "../../support/unit-world.ts";

test("a repository and a database that lost the conflict are whole in their copies, and the winners are as written", async () => {
  const { world, a, b } = await twoFolders();
  for (const directory of [".git", ".git/objects", ".git/objects/pack"]) a.disk.make(path(directory));
  write(a, { "app.db": "base", "app.db-wal": "base", ".git/head": "base", ".git/objects/pack/base": "base" });
  await settle(world);
  for (const each of [a, b]) each.disk.tick(3_000_000_000n);
  write(a, { "app.db": "a", ".git/head": "a", ".git/objects/a": "a" });
  write(b, { "app.db-wal": "b", ".git/objects/pack/b": "b" });
  a.disk.remove(path(".git/objects/pack/base"));
  await a.sync();
  await b.sync();
  const { databases, repositories } = sorted(Object.fromEntries(files(await settledTree(world))));
  expect(databases).toEqual(
    inOrder([
      { "": "a", "-wal": "base" },
      { "": "base", "-wal": "b" },
    ]),
  );
  expect(repositories).toEqual(
    inOrder([
      { head: "a", "objects/a": "a" },
      { head: "base", "objects/pack/b": "b", "objects/pack/base": "base" },
    ]),
  );
});

test("writes to a database while its folder publishes are in the copy if it loses the conflict", async () => {
  const { world, a, b } = await twoFolders();
  write(a, { "app.db": "base", "app.db-wal": "base" });
  await settle(world);
  for (const each of [a, b]) each.disk.tick(3_000_000_000n);
  write(a, { "app.db": "a" });
  write(b, { "app.db-wal": "b 1" });
  await a.sync();
  world.remote.beforeSwap = async () => {
    world.remote.beforeSwap = async () => {};
    b.disk.tick(3_000_000_000n);
    write(b, { "app.db-wal": "b 1, b 2" });
  };
  await b.sync();
  const { databases } = sorted(Object.fromEntries(files(await settledTree(world))));
  expect(databases).toEqual(
    inOrder([
      { "": "a", "-wal": "base" },
      { "": "base", "-wal": "b 1, b 2" },
    ]),
  );
});

test("files of a repository that neither side touched are in the winner's version and in the copy", async () => {
  const { world, a, b } = await twoFolders();
  for (const directory of [".git", ".git/objects"]) a.disk.make(path(directory));
  write(a, { ".git/config": "base", ".git/objects/base": "base" });
  await settle(world);
  for (const each of [a, b]) each.disk.tick(3_000_000_000n);
  write(a, { ".git/head": "a" });
  write(b, { ".git/index": "b" });
  await a.sync();
  await b.sync();
  const { repositories } = sorted(Object.fromEntries(files(await settledTree(world))));
  const untouched = { config: "base", "objects/base": "base" };
  expect(repositories).toEqual(
    inOrder([
      { ...untouched, head: "a" },
      { ...untouched, index: "b" },
    ]),
  );
});

function write({ disk }: SyncedFolder, some: Readonly<Record<string, string>>): void {
  for (const [at, text] of Object.entries(some)) disk.write(path(at), text);
}

function files(tree: ReadonlyMap<string, string>): [string, string][] {
  return [...tree].filter(([, text]) => text !== "dir");
}
