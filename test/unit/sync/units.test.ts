/** Repositories and databases that two folders changed: each side's is whole in the end, in both folders, once. */
import { expect, test } from "vitest";
import {
  bucketTree,
  killed,
  path,
  settle,
  settledTree,
  type SyncedFolder,
  type SyncWorld,
  twoFolders,
} from "../../support/sync-world.ts";
import { type Files, inOrder, sorted } from "../../support/unit-world.ts";

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

test.each([0, 1, 2, 3])(
  "a log that is written after a pass was killed %i changes after it adopted a root is published with the database that it belongs to",
  async (change) => {
    const { world, a, b } = await twoFolders();
    write(a, { "app.db": "base", "app.db-wal": "base" });
    await settle(world);
    for (const each of [a, b]) each.disk.tick(3_000_000_000n);
    write(a, { "app.db": "a" });
    await a.sync();
    await adoptOnly(world, b);
    if (change > 0) await killed(b, change);
    const shown = b.disk.tree().get("app.db") ?? "";
    write(b, { "app.db-wal": "b" });
    const { databases } = sorted(Object.fromEntries(files(await settledTree(world))));
    const theirs = { "": "a", "-wal": "base" };
    expect(databases).toEqual(inOrder([...(shown === "base" ? [theirs] : []), { "": shown, "-wal": "b" }]));
  },
);

/** What `a` writes and removes, and what `b` writes before it shows that. */
const PUBLISHED_FIRST: [string, Files, readonly string[], Files][] = [
  ["an added log", { "app.db": "a", "app.db-shm": "a" }, [], { "app.db-wal": "b" }],
  ["a removed log", { "app.db": "a" }, ["app.db-wal"], { "app.db": "b" }],
  ["a removed database", {}, ["app.db", "app.db-wal"], { "app.db-wal": "b" }],
  ["a log that both add", { "app.db": "a", "app.db-shm": "a" }, [], { "app.db-shm": "b" }],
];

test.each(PUBLISHED_FIRST)(
  "%s: a folder that does not show it yet publishes its own version whole",
  async (...given) => {
    const [, written, removed, local] = given;
    const { world, a, b } = await twoFolders();
    const base = { "app.db": "base", "app.db-wal": "base" };
    write(a, base);
    await settle(world);
    for (const each of [a, b]) each.disk.tick(3_000_000_000n);
    write(a, written);
    for (const each of removed) a.disk.remove(path(each));
    await a.sync();
    await adoptOnly(world, b);
    write(b, local);
    const { databases } = sorted(Object.fromEntries(files(await settledTree(world))));
    const [theirs, ours] = [versionOf(without({ ...base, ...written }, removed)), versionOf({ ...base, ...local })];
    expect(databases).toEqual(inOrder([...(Object.keys(theirs).length > 0 ? [theirs] : []), ours]));
  },
);

test("a repository of which a folder shows nothing new yet is published as the folder has it", async () => {
  const { world, a, b } = await twoFolders();
  for (const directory of [".git", ".git/objects", ".git/objects/gone", ".git/refs"]) a.disk.make(path(directory));
  const base = { head: "base", index: "base", "objects/gone/1": "base", "refs/main": "base" };
  write(a, inGit(base));
  await settle(world);
  for (const each of [a, b]) each.disk.tick(3_000_000_000n);
  a.disk.make(path(".git/objects/new"));
  write(a, { ".git/head": "a", ".git/objects/new/1": "a" });
  await a.disk.makeSymlink(path(".git/link"), "head");
  a.disk.remove(path(".git/objects/gone"));
  a.disk.move(path(".git/refs/main"), path(".git/refs/other"));
  await a.sync();
  await adoptOnly(world, b);
  write(b, { ".git/index": "b" });
  const { repositories } = sorted(Object.fromEntries(files(await settledTree(world))));
  const a1 = { head: "a", index: "base", "objects/new/1": "a", link: "-> head", "refs/other": "base" };
  expect(repositories).toEqual(inOrder([a1, { ...base, index: "b" }]));
});

test("a repository that others deleted meanwhile comes back whole if something was written in it", async () => {
  const { world, a, b } = await twoFolders();
  for (const directory of ["d", "d/.git", "d/.git/refs"]) a.disk.make(path(directory));
  const base = { "d/.git/head": "base", "d/.git/refs/main": "base" };
  write(a, base);
  await settle(world);
  for (const each of [a, b]) each.disk.tick(3_000_000_000n);
  a.disk.remove(path("d"));
  await a.sync();
  await adoptOnly(world, b);
  write(b, { "d/.git/head": "b" });
  expect(Object.fromEntries(files(await settledTree(world)))).toEqual({ ...base, "d/.git/head": "b" });
});

test.each(["", "d/"])("two folders that each bring a database of one name keep both whole, in '%s'", async (at) => {
  const { world, a, b } = await twoFolders();
  for (const { disk } of [a, b]) if (at !== "") disk.make(path("d"));
  write(a, { [`${at}app.db`]: "a", [`${at}app.db-wal`]: "a", [`${at}app.db-shm`]: "a" });
  write(b, { [`${at}app.db`]: "b", [`${at}app.db-wal`]: "b" });
  const shown = files(await settledTree(world)).map(([name, text]) => [name.slice(at.length), text] as const);
  const { databases } = sorted(Object.fromEntries(shown));
  expect(databases).toEqual(
    inOrder([
      { "": "a", "-wal": "a", "-shm": "a" },
      { "": "b", "-wal": "b" },
    ]),
  );
});

test("two folders that each bring a repository of one name keep both whole", async () => {
  const { world, a, b } = await twoFolders();
  for (const { disk } of [a, b]) disk.make(path(".git"));
  write(a, { ".git/head": "a", ".git/a": "a" });
  write(b, { ".git/head": "b", ".git/b": "b" });
  const { repositories } = sorted(Object.fromEntries(files(await settledTree(world))));
  expect(repositories).toEqual(
    inOrder([
      { head: "a", a: "a" },
      { head: "b", b: "b" },
    ]),
  );
});

test("a database whose log is ignored can be edited without a conflict", async () => {
  const { world, a, b } = await twoFolders();
  write(b, { ".synclineignore": "*-shm" });
  write(a, { "app.db": "base", "app.db-wal": "base", "app.db-shm": "base" });
  await settle(world, (folder) => folder.sync());
  for (const each of [a, b]) each.disk.tick(3_000_000_000n);
  await b.sync();
  write(b, { "app.db": "b" });
  await settle(world, (folder) => folder.sync());
  const { databases } = sorted(Object.fromEntries(files(await bucketTree(world.bucket))));
  expect(databases).toEqual([{ "": "b", "-wal": "base", "-shm": "base" }]);
});

test.each<[string, Files, readonly string[], Files]>([
  ["only the database changed", { "app.db": "a" }, [], { "app.db-wal": "b" }],
  ["both files changed", { "app.db": "a", "app.db-wal": "a" }, [], { "app.db-wal": "b" }],
  ["the log was removed", { "app.db": "a" }, ["app.db-wal"], { "app.db-wal": "b" }],
  ["the database was removed", {}, ["app.db", "app.db-wal"], { "app.db-wal": "b" }],
  ["another log is new here", { "app.db": "a" }, [], { "app.db-shm": "b" }],
])("a log written after the scan stays with its database, if %s elsewhere", async (...given) => {
  const [, written, removed, local] = given;
  const { world, a, b } = await twoFolders();
  const base = { "app.db": "base", "app.db-wal": "base" };
  write(a, base);
  await settle(world);
  for (const each of [a, b]) each.disk.tick(3_000_000_000n);
  write(a, { ...written, "other.txt": "a" });
  for (const each of removed) a.disk.remove(path(each));
  await a.sync();
  {
    using _writes = beforeCreating(b, () => write(b, local));
    await b.sync();
  }
  expect(Object.fromEntries(b.disk.tree())).toEqual({ ...base, ...local, "other.txt": "a" });
  const { databases } = sorted(Object.fromEntries(files(await settledTree(world))));
  const [theirs, ours] = [versionOf(without({ ...base, ...written }, removed)), versionOf({ ...base, ...local })];
  expect(databases).toEqual(inOrder([...(Object.keys(theirs).length > 0 ? [theirs] : []), ours]));
});

test("while a name in a database's unit waits for a newer version that its link elsewhere has, each keeps its own", async () => {
  const { world, a, b } = await twoFolders();
  write(a, { "app.db": "base", "app.db-wal": "base" });
  await a.disk.link(path("app.db-wal"), path("link"));
  await settle(world);
  for (const each of [a, b]) each.disk.tick(3_000_000_000n);
  write(a, { "app.db-wal": "newer" });
  await a.sync();
  {
    using _writes = beforeCreating(b, () => write(b, { "app.db": "b" }));
    await b.sync();
  }
  expect(Object.fromEntries(b.disk.tree())).toEqual({ "app.db": "b", "app.db-wal": "base", link: "newer" });
  // The scan looks at the link again, as after any change of its attributes.
  b.disk.chmod(path("link"), 0o600);
  b.disk.chmod(path("link"), 0o644);
  const { databases } = sorted(Object.fromEntries(files(await settledTree(world))));
  expect(databases).toEqual(
    inOrder([
      { "": "base", "-wal": "newer" },
      { "": "b", "-wal": "base" },
    ]),
  );
});

test.each(["first", "last"])(
  "what is moved out of an ignored log in the folder that syncs %s stays when the database is contested, also without the rule",
  async (turn) => {
    const { world, a, b } = await twoFolders();
    const [mover, other] = turn === "first" ? [a, b] : [b, a];
    write(a, { "app.db": "base", "app.db-wal": "log" });
    await settle(world);
    write(a, { ".synclineignore": "app.db-wal" });
    await settle(world);
    for (const each of [a, b]) each.disk.tick(3_000_000_000n);
    other.disk.move(path("app.db"), path("moved"));
    mover.disk.move(path("app.db-wal"), path("kept"));
    mover.disk.remove(path("app.db"));
    await settle(world);
    expect(mover.disk.tree().get("kept")).toBe("log");
    mover.disk.remove(path(".synclineignore"));
    expect((await settledTree(world)).get("kept")).toBe("log");
  },
);

test.each<[string, (b: SyncedFolder) => void, Files]>([
  ["changed", (b) => write(b, { ".git/index": "b" }), { index: "b" }],
  ["made", (b) => write(b, { ".git/refs/new": "b" }), { "refs/new": "b" }],
])(
  "a repository in which a file is %s after the scan stays as it is until both versions are merged",
  async (...given) => {
    const [, act, ours] = given;
    const { world, a, b } = await twoFolders();
    for (const directory of [".git", ".git/refs"]) a.disk.make(path(directory));
    const base = { head: "base", index: "base", "refs/main": "base" };
    write(a, inGit(base));
    await settle(world);
    for (const each of [a, b]) each.disk.tick(3_000_000_000n);
    write(a, { ".git/head": "a", ".git/refs/other": "a", "other.txt": "a" });
    a.disk.remove(path(".git/refs/main"));
    await a.sync();
    {
      using _acts = beforeCreating(b, () => act(b));
      await b.sync();
    }
    expect(Object.fromEntries(files(b.disk.tree()))).toEqual({ ...inGit({ ...base, ...ours }), "other.txt": "a" });
    const { repositories } = sorted(Object.fromEntries(files(await settledTree(world))));
    expect(repositories).toEqual(
      inOrder([
        { head: "a", index: "base", "refs/other": "a" },
        { ...base, ...ours },
      ]),
    );
  },
);

/** Runs once, after the scan, before the first file is written under a temporary name. */
function beforeCreating({ disk }: SyncedFolder, act: () => void): Disposable {
  const { create } = disk;
  const restore = () => void (disk.create = create);
  disk.create = async (at) => {
    restore();
    disk.tick();
    act();
    return create.call(disk, at);
  };
  return { [Symbol.dispose]: restore };
}

function inGit(files: Files): Files {
  return Object.fromEntries(Object.entries(files).map(([name, text]) => [`.git/${name}`, text]));
}

/** A pass that dies before it shows anything of the root that it adopts. */
async function adoptOnly({ bucket }: SyncWorld, folder: SyncedFolder): Promise<void> {
  const before = folder.disk.tree();
  const head = (await bucket.head()).commit.cid;
  for (let change = 0; folder.db.base()?.commit !== head; change++) expect(await killed(folder, change)).toBe(true);
  expect(folder.disk.tree()).toEqual(before);
}

function versionOf(files: Files): Record<string, string> {
  return Object.fromEntries(Object.entries(files).map(([name, text]) => [name.slice("app.db".length), text]));
}

function without(files: Files, names: readonly string[]): Files {
  return Object.fromEntries(Object.entries(files).filter(([name]) => !names.includes(name)));
}

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
