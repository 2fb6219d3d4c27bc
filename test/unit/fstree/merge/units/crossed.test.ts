/**
 * Files of a unit that have names outside of it, directories above it that others removed, damaged names in it: what lies outside stays
 * where it is, whichever side gives way, and who writes in the unit finds it.
 */
import { expect, test } from "vitest";
import { ROOT_ID } from "../../../../../src/base/ids.ts";
import type { FileId, FileName } from "../../../../../src/base/ids.ts";
import { dentryKey } from "../../../../../src/format/files/keys.ts";
import { encodeDentry } from "../../../../../src/format/files/rows.ts";
import { Attacker } from "../../../../support/attacker.ts";
import { filesOf, inOrder, sorted, whileSwapping, world, write } from "../../../../support/unit-world.ts";

const REPOSITORY = { ".git/head": "base", ".git/objects/base": "base", ".git/objects/pack/base": "base" };
const BASE = { head: "base", "objects/base": "base", "objects/pack/base": "base" };
const WINNERS: [who: string, seeds: { a: number; b: number }][] = [
  ["others win", { a: 12, b: 11 }],
  ["others lose", { a: 11, b: 12 }],
];

test.each(WINNERS)(
  "a file that one side links into a repository changed by both sides keeps its old path: %s",
  async (_, seeds) => {
    const { a, b, start, settle } = await world(seeds);
    await start({ ...REPOSITORY, saved: "saved" });
    await a.mount.link("saved", ".git/linked");
    await write(a, { ".git/made": "made" });
    await a.mount.link(".git/made", "made");
    await write(b, { ".git/objects/b": "b" });
    await a.flush();
    await b.flush();
    const { repositories, others } = await settle();
    expect(others).toEqual({ made: "made", saved: "saved" });
    expect(repositories).toEqual(
      inOrder([
        { ...BASE, linked: "saved", made: "made" },
        { ...BASE, "objects/b": "b" },
      ]),
    );
  },
);

test("links out of a repository that two agents make at once both stay, as one file", async () => {
  const { a, b, start, settle } = await world();
  await start(REPOSITORY);
  await a.mount.link(".git/objects/base", "a");
  await b.mount.link(".git/objects/base", "b");
  const { repositories, others } = await settle();
  expect([repositories, others]).toEqual([[BASE], { a: "base", b: "base" }]);
  for (const { mount } of [a, b]) {
    const { ino, nlink } = await mount.stat("a");
    expect([nlink, (await mount.stat("b")).ino, (await mount.stat(".git/objects/base")).ino]).toEqual([3, ino, ino]);
  }
});

test.each(WINNERS)(
  "clones by hard links stay whole when both agents also commit, and one prunes: %s",
  async (_, seeds) => {
    const { a, b, start, settle } = await world(seeds);
    await start(REPOSITORY);
    for (const agent of [a, b]) {
      for (const path of ["", "/.git"]) await agent.mount.makeDirectory(`${agent.name}${path}`);
      for (const file of ["objects/base", "objects/pack/base"])
        await agent.mount.link(`.git/${file}`, `${agent.name}/.git/${file.replaceAll("/", " ")}`);
      await write(agent, { ".git/head": agent.name });
    }
    await a.mount.unlink(".git/objects/base");
    const clone = (of: string) => ({ [`${of}/.git/objects base`]: "base", [`${of}/.git/objects pack base`]: "base" });
    const { repositories, others } = await settle();
    expect(others).toEqual({ ...clone("a"), ...clone("b") });
    expect(repositories).toEqual(
      inOrder([
        { head: "a", "objects/pack/base": "base" },
        { ...BASE, head: "b" },
      ]),
    );
  },
);

test.each(WINNERS)(
  "a snapshot by hard links of a database has its side's bytes when both agents write to the database: %s",
  async (_, seeds) => {
    const { a, b, start, settle } = await world(seeds);
    await start({ "app.db": "base", "app.db-wal": "base", "snap/note": "base" });
    await write(a, { "app.db-wal": "a" });
    for (const file of ["app.db", "app.db-wal"]) await a.mount.link(file, `snap/${file}`);
    await write(b, { "app.db": "b" });
    await settle();
    const snapshot = { "snap/app.db": "base", "snap/app.db-wal": "a", "snap/note": "base" };
    expect(await filesOf(b)).toMatchObject(snapshot);
    await write(a, { "snap/app.db-wal": "a later" });
    await settle();
    expect(await filesOf(b)).toMatchObject({ ...snapshot, "snap/app.db-wal": "a later" });
  },
);

test.each(WINNERS)(
  "a file that others link into a repository keeps its old path when we write there during a publish: %s",
  async (_, seeds) => {
    const { remote, a, b, start, settle } = await world(seeds);
    await start({ ...REPOSITORY, saved: "saved" });
    await write(b, { note: "b" });
    await a.mount.link("saved", ".git/linked");
    await write(a, { ".git/made": "made" });
    await a.mount.link(".git/made", "made");
    await a.flush();
    await whileSwapping(remote, b, () => write(b, { ".git/objects/b": "b" }));
    expect(sorted(await filesOf(b)).others).toEqual({ made: "made", note: "b", saved: "saved" });
    const { repositories, others } = await settle();
    expect(others).toEqual({ made: "made", note: "b", saved: "saved" });
    expect(repositories).toEqual(
      inOrder([
        { ...BASE, linked: "saved", made: "made" },
        { ...BASE, "objects/b": "b" },
      ]),
    );
  },
);

test.each(WINNERS)(
  "writes to an open file survive when others moved it into a repository that changed here: %s",
  async (_, seeds) => {
    const { remote, a, b, start, settle } = await world(seeds);
    await start({ ...REPOSITORY, saved: "saved" });
    const { ino } = await b.mount.stat("saved");
    await write(b, { note: "b" });
    await a.mount.rename("saved", ".git/saved");
    await a.flush();
    await whileSwapping(remote, b, () => write(b, { ".git/objects/b": "b" }));
    b.vfs.setAttributes(ino, { size: 0 });
    b.vfs.write(ino, 0, Buffer.from("through the open file"));
    b.vfs.persist();
    b.mount.dropCaches();
    await settle();
    expect(Object.values(await filesOf(b))).toContain("through the open file");
  },
);

test("a repository and a database that others removed survive when we write to them during a publish", async () => {
  const { remote, a, b, start, settle } = await world();
  await start({ ...REPOSITORY, "work/app.db": "base", "work/app.db-wal": "base", "work/note": "base" });
  await write(b, { note: "b" });
  const removed = ["work/app.db", "work/app.db-wal", "work/note", ...Object.keys(REPOSITORY)];
  for (const path of removed) await a.mount.unlink(path);
  for (const path of ["work", ".git/objects/pack", ".git/objects", ".git"]) await a.mount.removeDirectory(path);
  await a.flush();
  const ours = { ".git/objects/b": "b", "work/app.db-wal": "b" };
  await whileSwapping(remote, b, () => write(b, ours));
  const wanted = { ...REPOSITORY, "work/app.db": "base", note: "b", ...ours };
  expect(await filesOf(b)).toEqual(wanted);
  await b.restart();
  expect(await filesOf(b)).toEqual(wanted);
  await settle();
  expect(await filesOf(b)).toEqual(wanted);
});

test("a dangling name in a database does not hold up an epoch that was published", async () => {
  const { remote, b, start } = await world();
  await start({ "app.db": "base" });
  await write(b, { note: "b" });
  remote.faults.push("committed-unseen");
  await whileSwapping(remote, b, async () => void (remote.unreachable = true));
  remote.unreachable = false;
  const row = encodeDentry({ kind: "reference", type: "file", id: "ab".repeat(16) as FileId }, () => {
    throw new Error("no long values here");
  });
  const attacker = await Attacker.start(remote, 7);
  await attacker.publish([{ key: dentryKey(ROOT_ID, "app.db-wal" as FileName), ...row }]);
  await b.flush();
  expect([b.trouble, b.vfs.heldEpochs]).toEqual([undefined, []]);
});

test("a database that we write to keeps its old names when others rename and replace files within it", async () => {
  const { remote, a, b, start, settle } = await world();
  await start({ "app.db": "base", "app.db-shm": "base", "app.db-wal": "base" });
  await write(b, { note: "b" });
  await a.mount.rename("app.db-shm", "app.db-wal");
  await write(a, { "app.db-shm": "a", "app.db": "a" });
  await a.flush();
  await whileSwapping(remote, b, () => write(b, { "app.db": "b" }));
  const { databases } = await settle();
  expect(databases).toEqual(
    inOrder([
      { "": "a", "-shm": "a", "-wal": "base" },
      { "": "b", "-shm": "base", "-wal": "base" },
    ]),
  );
});

test.each(WINNERS)(
  "a database file that one side links into a repository stays in both units, each as its side left it: %s",
  async (_, seeds) => {
    const { a, b, start, settle } = await world(seeds);
    await start({ ".git/head": "base", "app.db": "base", "app.db-wal": "base" });
    await a.mount.link("app.db", ".git/linked");
    await write(a, { "app.db": "a" });
    await b.mount.unlink(".git/head");
    await b.mount.removeDirectory(".git");
    await write(b, { "app.db": "b" });
    await a.flush();
    await b.flush();
    const { databases, repositories } = await settle();
    expect(repositories).toEqual([{ head: "base", linked: "a" }]);
    expect(databases).toEqual(
      inOrder([
        { "": "a", "-wal": "base" },
        { "": "b", "-wal": "base" },
      ]),
    );
  },
);
