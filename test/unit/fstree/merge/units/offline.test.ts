/** Repositories and databases that two agents changed before they knew of each other: one side's is whole under the name, the other's beside it. */
import { expect, test } from "vitest";
import type { Ino } from "../../../../../src/base/ids.ts";
import { MAX_LISTED_CHANGES } from "../../../../../src/fstree/differences.ts";
import { world, write } from "../../../../support/unit-world.ts";
import type { Files } from "../../../../support/unit-world.ts";

const REPOSITORY = { ".git/head": "base", ".git/objects/base": "base" };
const DATABASE = { "app.db": "base" };

test("repositories and databases changed while the bucket was unreachable stay whole, in both sides' versions", async () => {
  const { remote, a, b, start, settle } = await world();
  await start({ ...REPOSITORY, ...DATABASE });
  remote.unreachable = true;
  await write(b, { note: "b" });
  await b.flush();
  await write(b, { ".git/objects/b": "b", ".git/head": "b", "app.db-wal": "b" });
  await write(a, { ".git/objects/a": "a", ".git/head": "a", "app.db": "a" });
  remote.unreachable = false;
  await a.flush();
  expect(await settle()).toEqual({
    databases: [{ "": "a" }, { "": "base", "-wal": "b" }],
    repositories: [
      { head: "a", "objects/a": "a", "objects/base": "base" },
      { head: "b", "objects/b": "b", "objects/base": "base" },
    ],
    others: { note: "b" },
  });
});

test("a database stays whole when others make more changes than are listed while an unrelated epoch waits", async () => {
  const { remote, a, b, start, settle } = await world();
  await start(DATABASE);
  remote.unreachable = true;
  await write(b, { note: "b" });
  await b.flush();
  await write(b, { "app.db-wal": "b" });
  await write(a, { "app.db": "a" });
  for (let index = 0; index <= MAX_LISTED_CHANGES; index++) await a.mount.create(`many ${index}`, Buffer.alloc(0));
  remote.unreachable = false;
  await a.flush();
  expect((await settle()).databases).toEqual([{ "": "a" }, { "": "base", "-wal": "b" }]);
});

test("a database partly sealed while the bucket was unreachable becomes one conflict copy, not several", async () => {
  const { remote, a, b, start, settle } = await world();
  await start(DATABASE);
  remote.unreachable = true;
  await write(b, { "app.db-wal": "b 1", "app.db-shm": "b 1" });
  await b.flush();
  await write(b, { "app.db-wal": "b 1, b 2", "app.db-shm": "b 2" });
  remote.unreachable = false;
  // Twice, so that the other side comes second.
  for (const text of ["a 1", "a 2"]) {
    await write(a, { "app.db-wal": text });
    await a.flush();
  }
  expect((await settle()).databases).toEqual([
    { "": "base", "-shm": "b 2", "-wal": "b 1, b 2" },
    { "": "base", "-wal": "a 2" },
  ]);
});

test("files sealed while the bucket was unreachable, then removed or moved, are published in their final state", async () => {
  const { remote, a, b, start, settle } = await world();
  await start({ f: "base", gone: "base" });
  remote.unreachable = true;
  await write(b, { "made and gone": "b", "made and open": "b", "made and moved": "b", f: "b 1", kept: "b" });
  await b.mount.unlink("gone");
  await b.flush();
  // What has no name any more is forgotten, as a kernel does.
  const unnamed: Ino[] = [];
  b.vfs.watchOrphans((ino) => void unnamed.push(ino));
  await b.mount.unlink("made and gone");
  for (const ino of unnamed.splice(0)) b.vfs.forget(ino);
  await b.mount.unlink("made and open");
  await b.mount.rename("made and moved", "moved");
  await write(b, { gone: "b", f: "b 1, b 2" });
  await write(a, { theirs: "a" });
  remote.unreachable = false;
  await a.flush();
  await b.flush();
  for (const ino of unnamed.splice(0)) b.vfs.forget(ino);
  await b.vfs.checkpoint();
  await b.restart();
  expect((await settle()).others).toEqual({ f: "b 1, b 2", gone: "b", kept: "b", moved: "b", theirs: "a" });
});

test.each(["killed", "saved and killed"])(
  "a resealed epoch that was not published survives a restart: %s",
  async (how) => {
    const { remote, a, b, start, settle } = await world();
    await start({ f: "base" });
    remote.unreachable = true;
    await write(b, { f: "b 1", "made and gone": "b" });
    await b.flush();
    await b.vfs.checkpoint();
    await b.mount.unlink("made and gone");
    await write(b, { f: "b 2", more: "b" });
    const [held] = b.vfs.heldEpochs;
    b.vfs.seal(true);
    expect(b.vfs.heldEpochs).toEqual([(held ?? 0) + 1]);
    if (how === "saved and killed") await b.vfs.checkpoint();
    remote.unreachable = false;
    await b.restart();
    await write(b, { f: "b 3" });
    await write(a, { theirs: "a" });
    await a.flush();
    expect((await settle()).others).toEqual({ f: "b 3", more: "b", theirs: "a" });
  },
);

const OBJECTS = { head: "base", "objects/base": "base", "objects/pack/base": "base" };

test.each<[what: string, ours: Files, kind: "databases" | "repositories", whole: readonly Files[]]>([
  ["a database's log", { "app.db-wal": "b" }, "databases", [{ "": "a" }, { "": "base", "-wal": "b" }]],
  [
    "a file deep in a repository",
    { ".git/objects/pack/b": "b" },
    "repositories",
    [
      { ...OBJECTS, head: "a" },
      { ...OBJECTS, "objects/pack/b": "b" },
    ],
  ],
])(
  "others' root is not adopted while %s waits to be published, and the units stay whole",
  async (_, ours, kind, whole) => {
    const { a, b, start, settle } = await world();
    await start({ ...REPOSITORY, ...DATABASE, ".git/objects/pack/base": "base" });
    // What is where is known from the state folder only.
    await b.restart();
    const stood = b.base;
    await write(b, ours);
    await write(a, { ".git/head": "a", "app.db": "a" });
    await a.flush();
    await b.catchUp();
    expect([b.base, b.trouble]).toEqual([stood, undefined]);
    expect((await settle())[kind]).toEqual(whole);
  },
);

test("others' root is not adopted while a database's log is deleted here but still exists for others", async () => {
  const { a, b, start, settle } = await world();
  await start({ "app.db": "base", "app.db-wal": "base" });
  await b.mount.unlink("app.db-wal");
  await write(a, { "app.db": "a", "app.db-wal": "a" });
  await a.flush();
  await b.catchUp();
  expect((await settle()).databases).toEqual([{ "": "a", "-wal": "a" }, { "": "base" }]);
});

test("others' root is adopted at once while anything else waits to be published", async () => {
  const { a, b, start, settle } = await world();
  await start({ ...REPOSITORY, ...DATABASE });
  await write(b, { note: "b", "work/note": "b" });
  await write(a, { ".git/head": "a", "app.db": "a" });
  await a.flush();
  await b.catchUp();
  expect(b.base).toBe(a.base);
  expect((await settle()).databases).toEqual([{ "": "a" }]);
});
