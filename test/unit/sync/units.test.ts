/** Repositories and databases that two folders changed: each side's is whole in the end, in both folders, once. */
import { expect, test } from "vitest";
import { bucketTree, path, settle, settledTree, type SyncedFolder, twoFolders } from "../../support/sync-world.ts";
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

test("while a program keeps writing to its log, a database stays as it was in the bucket", async () => {
  const { world, a } = await twoFolders();
  write(a, { "app.db": "old", "app.db-wal": "old" });
  await settle(world);
  a.disk.tick(3_000_000_000n);
  write(a, { "app.db": "new", "app.db-wal": "new", "other.txt": "new" });
  {
    using _writes = beforeReading(a, "app.db-wal", () => write(a, { "app.db-wal": "new" }));
    expect((await a.sync()).unstable).toEqual([path("app.db-wal")]);
  }
  expect(Object.fromEntries(await bucketTree(world.bucket))).toEqual({
    "app.db": "old",
    "app.db-wal": "old",
    "other.txt": "new",
  });
  expect(Object.fromEntries(await settledTree(world))).toEqual({
    "app.db": "new",
    "app.db-wal": "new",
    "other.txt": "new",
  });
});

test.each(["app.db-wal", "app.db"])("a database of which %s cannot be read keeps its deleted log", async (at) => {
  const { world, a } = await twoFolders();
  write(a, { "app.db": "old", "app.db-wal": "old", "app.db-journal": "old" });
  await settle(world);
  a.disk.tick(3_000_000_000n);
  write(a, { "app.db": "new", "app.db-wal": "new" });
  a.disk.remove(path("app.db-journal"));
  {
    using _refused = beforeReading(a, at, () => {
      throw Object.assign(new Error("EACCES"), { code: "EACCES" });
    });
    await a.sync();
    await a.sync();
  }
  expect(Object.fromEntries(await bucketTree(world.bucket))).toEqual({
    "app.db": "old",
    "app.db-wal": "old",
    "app.db-journal": "old",
  });
  expect(Object.fromEntries(await settledTree(world))).toEqual({ "app.db": "new", "app.db-wal": "new" });
});

test("a repository with a file that cannot be read waits as a whole, also its moves, deletions and new files", async () => {
  const { world, a } = await twoFolders();
  for (const directory of [".git", ".git/refs", ".git/refs/old"]) a.disk.make(path(directory));
  const old = { ".git/head": "old", ".git/index": "old", ".git/refs/old/main": "old", ".git/gone": "old" };
  write(a, old);
  await settle(world);
  a.disk.tick(3_000_000_000n);
  write(a, { ".git/head": "new", ".git/index": "new" });
  a.disk.move(path(".git/refs/old"), path("taken"));
  write(a, { "taken/main": "new" });
  a.disk.remove(path(".git/gone"));
  a.disk.make(path(".git/new"));
  write(a, { ".git/new/main": "new", "other.txt": "new" });
  {
    using _refused = beforeReading(a, ".git/index", () => {
      throw Object.assign(new Error("EACCES"), { code: "EACCES" });
    });
    await a.sync();
    await a.sync();
  }
  expect(Object.fromEntries(files(await bucketTree(world.bucket)))).toEqual({ ...old, "other.txt": "new" });
  const now = { ".git/head": "new", ".git/index": "new", ".git/new/main": "new", "taken/main": "new" };
  expect(Object.fromEntries(files(await settledTree(world)))).toEqual({ ...now, "other.txt": "new" });
});

/** Runs before each read of a file. */
function beforeReading({ disk }: SyncedFolder, of: string, act: () => void): Disposable {
  const { read } = disk;
  disk.read = async (at) => {
    const file = await read.call(disk, at);
    if (at.join("/") !== of) return file;
    disk.tick();
    act();
    return file;
  };
  return { [Symbol.dispose]: () => void (disk.read = read) };
}

function write({ disk }: SyncedFolder, some: Readonly<Record<string, string>>): void {
  for (const [at, text] of Object.entries(some)) disk.write(path(at), text);
}

function files(tree: ReadonlyMap<string, string>): [string, string][] {
  return [...tree].filter(([, text]) => text !== "dir");
}
