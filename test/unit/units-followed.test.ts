/**
 * A repository or a database that gave way takes its user along: what he goes on writing while its epoch is on its way, or held over a
 * restart, belongs to the copy, and what was kept is as it was written.
 */
import { expect, test } from "vitest";
import type { Ino } from "../../src/base/ids.ts";
import type { SimulatedAgent } from "../support/simulated-agent.ts";
import { filesOf, world, write } from "../support/unit-world.ts";
import type { Files } from "../support/unit-world.ts";

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

test.each(ORDERS)(
  "a database that %s goes on with what was written while its epoch was on its way",
  async (who, flushes, seeds) => {
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
    expect(b.vfs.pathOf(open)).toMatch(
      who === "stays" ? /^\/app\.db-wal$/ : /^\/app \(conflict [0-9a-f]{8}\)\.db-wal$/,
    );
  },
);

test.each(ORDERS)(
  "a repository that %s goes on with what was written while its epoch was on its way",
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
    await overwrite(b, head, "b 3");
    const shown = await settle();
    expect(shown.repositories).toEqual([
      { head: "a", "objects/a": "a", "objects/base": "base", "objects/pack/base": "base" },
      { head: "b 3", "objects/moved": "b 1", "objects/pack/b": "b 2", "objects/pack/base": "base", "refs/b": "b 2" },
    ]);
    expect((await filesOf(b))[".git/head"]).toBe(who === "stays" ? "b 3" : "a");
    expect(b.vfs.pathOf(root)).toMatch(who === "stays" ? /^\/\.git$/ : /^\/\.git \(conflict [0-9a-f]{8}\)$/);
  },
);

test.each([0, 1])(
  "what is written after a restart without the bucket goes with what was written before it: %i more restarts",
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

test.each(["before the swap's answer", "and others published since"])(
  "an agent that dies before it stands on its epoch finds the copies again: %s",
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

async function inoOf({ mount }: SimulatedAgent, path: string): Promise<Ino> {
  return (await mount.stat(path)).ino;
}

/** Through an open file. */
async function overwrite({ vfs, mount }: SimulatedAgent, ino: Ino, text: string): Promise<void> {
  vfs.setAttributes(ino, { size: 0 });
  vfs.write(ino, 0, Buffer.from(text));
  vfs.commit();
  mount.dropCaches();
}

async function publish(agent: SimulatedAgent, files: Files, flushes: number): Promise<void> {
  for (let count = 0; count < flushes; count++) {
    await write(agent, files);
    await agent.flush();
  }
}

/** Publishes, and does something when nothing but the swap is left to do. */
async function whileSwapping(remote: World["remote"], agent: SimulatedAgent, work: () => Promise<void>): Promise<void> {
  remote.beforeSwap = async () => {
    remote.beforeSwap = async () => {};
    await work();
  };
  await agent.flush();
}

/** It needs the bucket for a moment, but publishes nothing. */
async function restart(remote: World["remote"], agent: SimulatedAgent): Promise<void> {
  remote.unreachable = false;
  await agent.restart();
  remote.unreachable = true;
}
