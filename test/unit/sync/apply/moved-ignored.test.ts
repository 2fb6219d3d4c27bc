/** Directories that others move to an ignored path, and away from one. */
import { describe, expect, test } from "vitest";
import {
  bucketTree,
  killed,
  pair,
  path,
  settle,
  type SyncedFolder,
  syncWorld,
  type SyncWorld,
} from "../../../support/sync-world.ts";

const RULES = path(".synclineignore");
const FILES = ["p/1", "p/q/2", "archive/0"];
const IN_ARCHIVE = ["archive/p", "archive/p/1", "archive/p/q", "archive/p/q/2"];

/** A folder that ignores its archive, and one whose own rules ignore nothing but themselves. */
async function withArchive(prepare: (folder: SyncedFolder) => void = () => {}, rules = "/archive/\n") {
  const world = await syncWorld(2);
  const [a, c] = pair(world);
  c.disk.write(RULES, "/.synclineignore\n");
  await settle(world);
  for (const name of ["p", "p/q", "archive"]) c.disk.make(path(name));
  for (const name of FILES) c.disk.write(path(name), name);
  prepare(c);
  await settle(world);
  a.disk.write(RULES, rules);
  await settle(world);
  for (const { disk } of [a, c]) disk.tick(3_000_000_000n);
  const bucket = async () => [...(await bucketTree(world.bucket)).keys()];
  const folder = () => [...a.disk.tree().keys()];
  return { world, a, c, bucket, folder };
}

test("a directory that moves there leaves the folder with all that is in it, and comes back whole", async () => {
  const { world, c, bucket, folder } = await withArchive();
  c.disk.move(path("p"), path("archive/p"));
  await settle(world);
  expect(folder().sort()).toEqual([".synclineignore", "archive", "archive/0"]);
  expect(await bucket()).toEqual(expect.arrayContaining(IN_ARCHIVE));
  c.disk.move(path("archive/p"), path("z"));
  await settle(world);
  expect(folder()).toEqual(expect.arrayContaining(["z", "z/1", "z/q", "z/q/2"]));
});

test("a directory that moved there comes back whole once its path is ignored no longer", async () => {
  const { world, a, c, folder } = await withArchive();
  c.disk.move(path("p"), path("archive/p"));
  await settle(world);
  a.disk.remove(RULES);
  await settle(world);
  expect(folder()).toEqual(expect.arrayContaining(IN_ARCHIVE));
});

test("what was made and written here meanwhile moves there, too", async () => {
  const { world, a, c, folder } = await withArchive();
  c.disk.move(path("p"), path("archive/p"));
  await c.sync();
  a.disk.write(path("p/1"), "edited");
  a.disk.write(path("p/q/new"), "new");
  await settle(world);
  const tree = await bucketTree(world.bucket);
  expect([tree.get("archive/p/1"), tree.get("archive/p/q/new")]).toEqual(["edited", "new"]);
  expect(folder()).not.toContain("p");
});

test("another directory may take its name", async () => {
  const { world, c, bucket, folder } = await withArchive();
  c.disk.move(path("p"), path("archive/p"));
  c.disk.make(path("p"));
  c.disk.write(path("p/3"), "3");
  await settle(world);
  expect(folder().sort()).toEqual([".synclineignore", "archive", "archive/0", "p", "p/3"]);
  expect(await bucket()).toEqual(expect.arrayContaining([...IN_ARCHIVE, "p/3"]));
});

test("what was moved out of it before stays", async () => {
  const { world, c, folder } = await withArchive();
  c.disk.move(path("p/q"), path("kept"));
  c.disk.move(path("p"), path("archive/p"));
  await settle(world);
  expect(folder().sort()).toEqual([".synclineignore", "archive", "archive/0", "kept", "kept/2"]);
});

test("a directory that was always ignored comes with all that is in it", async () => {
  const { world, c, folder } = await withArchive();
  for (const name of ["archive/n", "archive/n/m"]) c.disk.make(path(name));
  for (const name of ["archive/n/1", "archive/n/m/2"]) c.disk.write(path(name), name);
  await settle(world);
  c.disk.move(path("archive/n"), path("n"));
  await settle(world);
  expect(folder()).toEqual(expect.arrayContaining(["n/1", "n/m/2"]));
});

/** A folder with a log that is ignored, too, and only here. */
async function withLog() {
  const all = await withArchive(undefined, "/archive/\n*.log\n");
  all.a.disk.write(path("p/q/x.log"), "log");
  all.c.disk.move(path("p"), path("archive/p"));
  await passes(all.world);
  expect(all.folder().sort()).toEqual([".synclineignore", "archive", "archive/0", "p", "p/q", "p/q/x.log"]);
  return all;
}

/** Some passes of both, whether or not they come to rest. */
async function passes({ folders }: SyncWorld): Promise<void> {
  for (let round = 0; round < 4; round++)
    for (const folder of folders) {
      folder.disk.tick(3_000_000_000n);
      await folder.sync();
    }
}

describe("a directory in which something ignored stays", () => {
  test("may be removed here: what left stays in the bucket", async () => {
    const { world, a, bucket } = await withLog();
    for (const name of ["p/q/x.log", "p/q", "p"]) a.disk.remove(path(name));
    await settle(world);
    expect(await bucket()).toEqual(expect.arrayContaining(IN_ARCHIVE));
  });

  test("is a directory of its own: it keeps what is saved in it, and moves without the archive", async () => {
    const { world, a, bucket, folder } = await withLog();
    a.disk.write(path("p/later"), "later");
    await passes(world);
    expect(folder()).toContain("p/later");
    a.disk.move(path("p"), path("old"));
    await settle(world);
    expect(await bucket()).toEqual(expect.arrayContaining([...IN_ARCHIVE, "old/later"]));
  });

  test("gets its files back when others move them back", async () => {
    const { world, c, bucket, folder } = await withLog();
    c.disk.remove(path("p"));
    c.disk.move(path("archive/p"), path("p"));
    // What is ignored in it never leaves.
    await passes(world);
    for (const names of [await bucket(), folder()]) expect(names).toEqual(expect.arrayContaining(["p/1", "p/q/2"]));
  });

  test.each(["p/x.log", "p/q/x.log"])("does not take %s of the bucket along when it is removed", async (name) => {
    for (const removed of [name, "p"]) {
      const { world, a, c, bucket } = await withArchive(({ disk }) => disk.write(path(name), "log"));
      a.disk.write(RULES, "/archive/\n*.log\n");
      await settle(world);
      for (const { disk } of [a, c]) disk.tick(3_000_000_000n);
      if (removed === name) a.disk.remove(path(name));
      c.disk.move(path("p"), path("archive/p"));
      await c.sync();
      await passes(world);
      if (removed === "p") a.disk.remove(path("p"));
      await passes(world);
      expect(await bucket()).toContain(`archive/${name}`);
    }
  });
});

test("others' edits come when it comes back, though its deletion here awaited approval", async () => {
  const names = Array.from({ length: 150 }, (_, each) => `p/f${each}`);
  const { world, a, c } = await withArchive(({ disk }) => {
    for (const name of names) disk.write(path(name), name);
  });
  c.disk.move(path("p"), path("archive/p"));
  c.disk.write(path("archive/p/f3"), "edited");
  await c.sync();
  expect((await a.sync()).held).toBeDefined();
  c.disk.tick(3_000_000_000n);
  c.disk.move(path("archive/p"), path("p"));
  await settle(world);
  expect(a.disk.tree().get("p/f3")).toBe("edited");
});

test("what leaves makes room on a full disk", async () => {
  const { a, c, folder } = await withArchive();
  c.disk.move(path("p"), path("archive/p"));
  c.disk.write(path("new"), "new");
  await c.sync();
  a.disk.create = async () => {
    throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
  };
  await expect(a.sync()).rejects.toThrow("ENOSPC");
  expect(folder()).not.toContain("p/1");
});

test("a large directory comes in portions", async () => {
  const names = Array.from({ length: 60 }, (_, each) => `archive/n/f${each}`);
  const { world, a, c, folder } = await withArchive();
  c.disk.make(path("archive/n"));
  for (const name of names) c.disk.write(path(name), name);
  await settle(world);
  a.portion = { things: 8, bytes: 1e9 };
  c.disk.move(path("archive/n"), path("n"));
  await c.sync();
  expect((await a.sync()).plan.puts.length).toBeLessThanOrEqual(10);
  expect(folder().filter((name) => name.startsWith("n/"))).toHaveLength(60);
});

test("a removal that the database did not record is not published", async () => {
  const { world, a, c, bucket } = await withArchive();
  Object.assign(a.disk, { openAppend: undefined });
  c.disk.move(path("p"), path("archive/p"));
  await c.sync();
  const { unlink } = a.disk;
  let left = 1;
  a.disk.unlink = async (at) => {
    if (at.includes("parked" as never) && left-- <= 0) throw Object.assign(new Error("EIO"), { code: "EIO" });
    return unlink.call(a.disk, at);
  };
  await expect(a.sync()).rejects.toThrow("EIO");
  a.disk.unlink = unlink;
  await settle(world);
  expect(await bucket()).toEqual(expect.arrayContaining(IN_ARCHIVE));
});

test.each([
  ["the same boot", () => {}],
  ["another boot, whose log is not believed", ({ disk }: SyncedFolder) => Object.assign(disk, { boot: "boot 2" })],
  ["a disk without a log", ({ disk }: SyncedFolder) => Object.assign(disk, { openAppend: undefined })],
])("a pass that is killed at any change loses nothing of it: %s", async (_, change) => {
  for (let number = 0, isMore = true; isMore; number++) {
    const { world, a, c, bucket, folder } = await withArchive();
    c.disk.move(path("p"), path("archive/p"));
    await c.sync();
    isMore = await killed(a, number);
    a.disk.budget = undefined;
    change(a);
    await settle(world);
    expect(await bucket()).toEqual(expect.arrayContaining(IN_ARCHIVE));
    expect(folder()).not.toContain("p");
    c.disk.move(path("archive/p"), path("z"));
    await c.sync();
    isMore = (await killed(a, number)) || isMore;
    a.disk.budget = undefined;
    await settle(world);
    expect(folder()).toEqual(expect.arrayContaining(["z/1", "z/q/2"]));
  }
});

test("what others removed at an ignored path goes when its directory moves into sight here", async () => {
  const { world, a, c, bucket, folder } = await withArchive(({ disk }) => {
    disk.make(path("archive/n"));
    disk.write(path("archive/n/3"), "archive/n/3");
  });
  c.disk.remove(path("archive/n"));
  await settle(world);
  a.disk.move(path("archive"), path("photos"));
  await settle(world);
  for (const names of [await bucket(), folder()])
    expect(names.filter((name) => name.startsWith("photos")).sort()).toEqual(["photos", "photos/0"]);
});
