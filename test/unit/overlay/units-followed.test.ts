/**
 * A repository or a database that lost the conflict takes its user along: what he goes on writing while its epoch is on its way, or held over a
 * restart, belongs to the copy, and what was kept is as it was written. One of which the epoch has nothing stays as he saw it.
 */
import { expect, test } from "vitest";
import type { Ino } from "../../../src/base/ids.ts";
import type { SimulatedAgent } from "../../support/simulated-agent.ts";
import { filesOf, inOrder, pathOf, sorted, whileSwapping, world, write } from "../../support/unit-world.ts";
import type { Files } from "../../support/unit-world.ts";

type World = Awaited<ReturnType<typeof world>>;

const DATABASE = { "app.db": "base", "app.db-wal": "base", "app.db-shm": "base" };
const THEIRS = { "app.db": "a", "app.db-wal": "a" };
const REPOSITORY = { ".git/head": "base", ".git/objects/base": "base", ".git/objects/pack/base": "base" };

/** What the one who publishes second writes before his epoch is sealed, and what once it is. */
const EARLY = { "app.db-wal": "b 1" };
const LATE = { "app.db": "b 2", "app.db-wal": "b 1, b 2", "app.db-journal": "b 2" };

/** The unit of the second one gives way if the other published twice; else his device decides. */
const ORDERS: [who: string, flushes: number, seeds: { a: number; b: number }][] = [
  ["gives way", 1, { a: 12, b: 11 }],
  ["stays", 1, { a: 11, b: 12 }],
];

test.each(ORDERS)("a database that %s keeps what was written to it during its publish", async (who, flushes, seeds) => {
  const { remote, a, b, start, settle } = await world(seeds);
  await start(DATABASE);
  const open = await inoOf(b, "app.db-wal");
  await write(b, EARLY);
  await publish(a, THEIRS, flushes);
  await whileSwapping(remote, b, async () => {
    await write(b, LATE);
    await b.mount.unlink("app.db-shm");
  });
  // Who has the file open writes where he always did.
  await overwrite(b, open, "b 1, b 2, b 3");
  const shown = await settle();
  const ours = { "": "b 2", "-journal": "b 2", "-wal": "b 1, b 2, b 3" };
  expect(shown.databases).toEqual([{ "": "a", "-shm": "base", "-wal": "a" }, ours]);
  expect((await filesOf(b))["app.db"]).toBe(who === "stays" ? "b 2" : "a");
  expect(await pathOf(b, open)).toMatch(
    who === "stays" ? /^\/app\.db-wal$/ : /^\/app \(conflict [0-9a-f]{8}\)\.db-wal$/,
  );
});

test.each(ORDERS)(
  "a repository that %s keeps what was written to it during its publish",
  async (who, flushes, seeds) => {
    const { remote, a, b, start, settle } = await world(seeds);
    await start(REPOSITORY);
    const [root, head] = [await inoOf(b, ".git"), await inoOf(b, ".git/head")];
    await write(b, { ".git/objects/b": "b 1" });
    await publish(a, { ".git/head": "a", ".git/objects/a": "a" }, flushes);
    await whileSwapping(remote, b, async () => {
      await write(b, { ".git/head": "b 2", ".git/objects/pack/b": "b 2", ".git/refs/b": "b 2" });
      await b.mount.unlink(".git/objects/base");
      await b.mount.rename(".git/objects/b", ".git/objects/moved");
    });
    await b.vfs.checkpoint();
    await overwrite(b, head, "b 3");
    await b.restart();
    const shown = await settle();
    expect(shown.repositories).toEqual([
      { head: "a", "objects/a": "a", "objects/base": "base", "objects/pack/base": "base" },
      { head: "b 3", "objects/moved": "b 1", "objects/pack/b": "b 2", "objects/pack/base": "base", "refs/b": "b 2" },
    ]);
    expect((await filesOf(b))[".git/head"]).toBe(who === "stays" ? "b 3" : "a");
    expect(await pathOf(b, root)).toMatch(who === "stays" ? /^\/\.git$/ : /^\/\.git \(conflict [0-9a-f]{8}\)$/);
  },
);

test.each([0, 1])(
  "while the bucket is unreachable, writes before and after a restart stay in one version: %i more restarts",
  async (more) => {
    const { remote, a, b, start, settle } = await world();
    await start({ ...DATABASE, ...REPOSITORY });
    remote.unreachable = true;
    await write(b, { ...EARLY, ".git/objects/b": "b 1" });
    await b.flush();
    await restart(remote, b);
    await write(b, { ...LATE, ".git/head": "b 2" });
    for (let count = 0; count < more; count++) await restart(remote, b);
    remote.unreachable = false;
    await publish(a, { ...THEIRS, ".git/head": "a" }, 2);
    const { databases, repositories } = await settle();
    expect(databases).toEqual([
      { "": "a", "-shm": "base", "-wal": "a" },
      { "": "b 2", "-journal": "b 2", "-shm": "base", "-wal": "b 1, b 2" },
    ]);
    expect(repositories).toEqual([
      { head: "a", "objects/base": "base", "objects/pack/base": "base" },
      { head: "b 2", "objects/b": "b 1", "objects/base": "base", "objects/pack/base": "base" },
    ]);
  },
);

test.each(["before the swap's answer", "after others published again"])(
  "an agent that dies before it adopts its published epoch finds its conflict copies again: %s",
  async (when) => {
    const { remote, a, b, start, settle } = await world();
    await start({ ...DATABASE, ...REPOSITORY });
    await write(b, { ...EARLY, ".git/objects/b": "b 1" });
    await publish(a, { ...THEIRS, ".git/head": "a" }, 2);
    remote.faults.push("committed-unseen");
    await whileSwapping(remote, b, async () => {
      await write(b, { ...LATE, ".git/head": "b 2" });
      remote.unreachable = true;
    });
    expect(b.vfs.heldEpochs).toHaveLength(2);
    remote.unreachable = false;
    if (when !== "before the swap's answer") await publish(a, { note: "a", "app.db-wal": "a, a" }, 1);
    await b.restart();
    const { databases, repositories } = await settle();
    expect(databases).toEqual([
      { "": "a", "-shm": "base", "-wal": when === "before the swap's answer" ? "a" : "a, a" },
      { "": "b 2", "-journal": "b 2", "-shm": "base", "-wal": "b 1, b 2" },
    ]);
    expect(repositories).toEqual([
      { head: "a", "objects/base": "base", "objects/pack/base": "base" },
      { head: "b 2", "objects/b": "b 1", "objects/base": "base", "objects/pack/base": "base" },
    ]);
  },
);

test("a repository that lost the conflict continues beside the path to which others moved it", async () => {
  const { remote, a, b, start, settle } = await world({ a: 12, b: 11 });
  await start({ ...files("work/", REPOSITORY), "elsewhere/note": "base" });
  // Where they put it is unknown here.
  await restart(remote, b);
  remote.unreachable = false;
  await write(b, { "work/.git/objects/b": "b 1" });
  await write(a, { "work/.git/head": "a" });
  await a.mount.rename("work/.git", "elsewhere/.git");
  await a.flush();
  await whileSwapping(remote, b, async () => {
    await write(b, { "work/.git/head": "b 2" });
    await b.mount.chmod("work/.git", 0o700);
  });
  await settle();
  const shown = await filesOf(b);
  const copy = Object.keys(shown)
    .find((path) => path.includes("conflict"))
    ?.replace(/\).*/, ")");
  expect(copy).toMatch(/^elsewhere\/\.git \(conflict [0-9a-f]{8}\)$/);
  expect(shown).toEqual({
    ...files("elsewhere/", { ...REPOSITORY, ".git/head": "a", note: "base" }),
    [`${copy}/head`]: "b 2",
    [`${copy}/objects/b`]: "b 1",
    [`${copy}/objects/base`]: "base",
    [`${copy}/objects/pack/base`]: "base",
  });
  expect((await b.mount.stat(copy ?? "")).mode & 0o777).toBe(0o700);
});

test("a hard link out of a repository that lost the conflict shows the winner's file, and its name inside shows the copy's", async () => {
  const { remote, a, b, start, settle } = await world({ a: 12, b: 11 });
  await start(REPOSITORY);
  await a.mount.link(".git/head", "linked");
  await a.flush();
  await b.flush();
  await write(b, { ".git/objects/b": "b 1" });
  await publish(a, { ".git/head": "a" }, 1);
  await whileSwapping(remote, b, () => write(b, { ".git/head": "b 2" }));
  const { repositories, others } = await settle();
  expect(repositories).toEqual([
    { head: "a", "objects/base": "base", "objects/pack/base": "base" },
    { head: "b 2", "objects/b": "b 1", "objects/base": "base", "objects/pack/base": "base" },
  ]);
  expect(others).toEqual({ linked: "a" });
});

test("a file moved out of a repository that lost the conflict keeps later writes as a file of its own", async () => {
  const { remote, a, b, start, settle } = await world({ a: 12, b: 11 });
  await start(REPOSITORY);
  await b.mount.rename(".git/objects/base", "saved");
  await write(b, { ".git/head": "b 1" });
  await publish(a, { ".git/head": "a" }, 1);
  const open = await inoOf(b, "saved");
  await whileSwapping(remote, b, () => write(b, { saved: "b 2" }));
  await overwrite(b, open, "b 3");
  const { repositories, others } = await settle();
  expect(repositories).toEqual([
    { head: "a", "objects/base": "base", "objects/pack/base": "base" },
    { head: "b 1", "objects/pack/base": "base" },
  ]);
  expect(others).toEqual({ saved: "b 3" });
});

test("a database that both sides created in a folder that both created continues in its copy", async () => {
  const { remote, a, b, start, settle } = await world({ a: 12, b: 11 });
  await start({ note: "base" });
  await write(b, { "new/app.db": "b 1", "new/app.db-wal": "b 1" });
  await publish(a, { "new/app.db": "a", "new/app.db-wal": "a" }, 1);
  await whileSwapping(remote, b, () => write(b, { "new/app.db": "b 2", "new/app.db-journal": "b 2" }));
  expect((await settle()).databases).toEqual([
    { "": "a", "-wal": "a" },
    { "": "b 2", "-journal": "b 2", "-wal": "b 1" },
  ]);
});

test("a database continues in its copy after the user replaced one of its files and moved another away", async () => {
  const { remote, a, b, start, settle } = await world({ a: 12, b: 11 });
  await start(DATABASE);
  await write(b, EARLY);
  await publish(a, THEIRS, 1);
  await whileSwapping(remote, b, async () => {
    await write(b, { made: "b 2" });
    await b.mount.rename("app.db-wal", "saved");
    await b.mount.rename("made", "app.db");
  });
  const { databases, others } = await settle();
  expect(databases).toEqual([
    { "": "a", "-shm": "base", "-wal": "a" },
    { "": "b 2", "-shm": "base" },
  ]);
  expect(others).toEqual({ saved: "b 1" });
});

test("an unchanged file of a database that lost the conflict stays open as its copy, and its old name leads to the winner's", async () => {
  const { a, b, start, settle } = await world({ a: 12, b: 11 });
  await start(DATABASE);
  const open = await inoOf(b, "app.db");
  await write(b, EARLY);
  await publish(a, THEIRS, 1);
  await b.flush();
  expect(await inoOf(b, "app.db")).not.toBe(open);
  expect(await pathOf(b, open)).toMatch(/^\/app \(conflict [0-9a-f]{8}\)\.db$/);
  expect((await settle()).databases).toEqual([
    { "": "a", "-shm": "base", "-wal": "a" },
    { "": "base", "-shm": "base", "-wal": "b 1" },
  ]);
});

test.each<[what: string, theirs: Files, wanted: Files]>([
  ["changed", { ...THEIRS, "app.db-shm": "a" }, { "": "a", "-shm": "a", "-wal": "a" }],
  ["added to", { "app.db-journal": "a" }, { "": "base", "-journal": "a", "-shm": "base", "-wal": "base" }],
  ["added an empty file to", { "app.db-journal": "" }, { "": "base", "-journal": "", "-shm": "base", "-wal": "base" }],
])(
  "a database that others %s shows only local writes if written to while an epoch without it is published",
  async (_, theirs, wanted) => {
    const { remote, a, b, start, settle } = await world({ a: 12, b: 11 });
    await start(DATABASE);
    const open = await inoOf(b, "app.db-shm");
    await write(b, { note: "b" });
    await publish(a, theirs, 1);
    await whileSwapping(remote, b, async () => {
      await write(b, { "app.db-wal": "b" });
      await b.mount.unlink("app.db");
      await write(b, { "app.db": "b" });
    });
    // Before it is merged, too.
    expect(sorted(await filesOf(b)).databases).toEqual([{ "": "b", "-shm": "base", "-wal": "b" }]);
    await b.restart();
    expect(sorted(await filesOf(b)).databases).toEqual([{ "": "b", "-shm": "base", "-wal": "b" }]);
    await overwrite(b, open, "b");
    expect((await settle()).databases).toEqual(inOrder([wanted, { "": "b", "-shm": "b", "-wal": "b" }]));
  },
);

test("a repository that others changed shows only local writes if written to while an epoch without it is published", async () => {
  const { remote, a, b, start, settle } = await world({ a: 12, b: 11 });
  await start(REPOSITORY);
  // Nothing of it was looked at.
  await b.restart();
  await write(b, { note: "b" });
  await write(a, { ".git/objects/pack/a": "a", ".git/refs/a": "a", ".git/head": "a" });
  await a.mount.unlink(".git/objects/pack/base");
  await a.flush();
  await whileSwapping(remote, b, () => write(b, { ".git/objects/b": "b" }));
  const ours = { head: "base", "objects/b": "b", "objects/base": "base", "objects/pack/base": "base" };
  expect(sorted(await filesOf(b)).repositories).toEqual([ours]);
  await b.vfs.checkpoint();
  await b.restart();
  expect(sorted(await filesOf(b)).repositories).toEqual([ours]);
  const theirs = { head: "a", "objects/base": "base", "objects/pack/a": "a", "refs/a": "a" };
  expect((await settle()).repositories).toEqual(inOrder([theirs, ours]));
});

test("others' changes to a database that nobody here writes to appear at once", async () => {
  const { remote, a, b, start } = await world({ a: 12, b: 11 });
  await start({ ...DATABASE, ...REPOSITORY });
  await write(b, { note: "b" });
  await publish(a, { ...THEIRS, ".git/head": "a" }, 1);
  await whileSwapping(remote, b, () => write(b, { note: "b 2", "work/note": "b" }));
  expect(sorted(await filesOf(b)).databases).toEqual([{ "": "a", "-shm": "base", "-wal": "a" }]);
  expect((await filesOf(b))[".git/head"]).toBe("a");
});

function files(folder: string, some: Files): Files {
  return Object.fromEntries(Object.entries(some).map(([path, text]) => [folder + path, text]));
}

async function inoOf({ mount }: SimulatedAgent, path: string): Promise<Ino> {
  return (await mount.stat(path)).ino;
}

/** Through an open file. */
async function overwrite({ vfs, mount }: SimulatedAgent, ino: Ino, text: string): Promise<void> {
  vfs.setAttributes(ino, { size: 0 });
  vfs.write(ino, 0, Buffer.from(text));
  vfs.persist();
  mount.dropCaches();
}

async function publish(agent: SimulatedAgent, files: Files, flushes: number): Promise<void> {
  for (let count = 0; count < flushes; count++) {
    await write(agent, files);
    await agent.flush();
  }
}

/** It needs the bucket for a moment, but publishes nothing. */
async function restart(remote: World["remote"], agent: SimulatedAgent): Promise<void> {
  remote.unreachable = false;
  await agent.restart();
  remote.unreachable = true;
}
