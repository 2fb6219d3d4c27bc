/** Much that is new goes into the bucket in portions, and comes to a folder in portions. */
import { describe, expect, test } from "vitest";
import { UnitRules } from "../../../../src/fstree/merge/units/unit-rules.ts";
import { DEFAULT_POLICY } from "../../../../src/format/commits/policy.ts";
import { SyncDatabase } from "../../../../src/sync/known/database.ts";
import { NO_RULES } from "../../../../src/sync/scan/ignore-rules.ts";
import { Portions } from "../../../../src/sync/scan/portion.ts";
import { NONE_APART, walk, type Most } from "../../../../src/sync/scan/walk.ts";
import { MemorySyncDisk } from "../../../../src/simulate/folder/memory-sync-disk.ts";
import { byNumber, settled, swapsOf, write } from "../../../support/portions.ts";
import { bucketTree, killed, path, settledTree, twoFolders, type SyncedFolder } from "../../../support/sync-world.ts";

const bySize = (bytes: number): Most => ({ things: Infinity, bytes });

describe("the first portion has", () => {
  async function first(files: Readonly<Record<string, string>>, limits: Most): Promise<string[]> {
    const disk = new MemorySyncDisk();
    write(disk, files);
    const units = new UnitRules(DEFAULT_POLICY.units);
    const portions = new Portions({
      disk,
      rules: { now: NO_RULES },
      db: new SyncDatabase(":memory:"),
      limits,
      units,
      isApart: NONE_APART,
    });
    const { matching, isLast } = await portions.next();
    const told = matching.objects.flatMap(({ found }) => found.map((each) => each.path.join("/")));
    expect(isLast).toBe(Object.keys(files).every((at) => told.includes(at)));
    return told.filter((at) => at in files);
  }
  const named = (...names: string[]) => Object.fromEntries(names.map((name) => [name, name]));

  test("everything, if it fits the limits", async () => {
    expect(await first(named("a", "b", "d/c"), byNumber(4))).toEqual(["a", "b", "d/c"]);
  });

  test("as many objects as the limit allows, by name", async () => {
    expect(await first(named("c", "a", "d", "b"), byNumber(2))).toEqual(["a", "b"]);
  });

  test("as many bytes as the limit allows, and at least one file", async () => {
    expect(await first({ a: "1", b: "1", c: "1" }, bySize(2))).toEqual(["a", "b"]);
    expect(await first({ a: "123456789", b: "1" }, bySize(2))).toEqual(["a"]);
  });

  test("a directory's files together, if the limit allows", async () => {
    expect(await first(named("d/a", "d/b", "e/a", "e/b", "e/c"), byNumber(5))).toEqual(["d/a", "d/b"]);
    expect(await first(named("e/a", "e/b", "e/c", "e/d"), byNumber(3))).toEqual(["e/a", "e/b"]);
  });

  test("a whole repository, however large", async () => {
    const repository = ["r/.git/HEAD", "r/.git/objects/a", "r/.git/objects/b", "r/.git/refs/heads/main"];
    expect((await first(named(...repository, "s"), byNumber(3))).sort()).toEqual([...repository, "s"].sort());
    expect(await first(named("a", "b", "c", ...repository), byNumber(3))).toEqual(["a", "b", "c"]);
  });

  test("a database with its log", async () => {
    const files = named("a", "b.sqlite", "b.sqlite-shm", "b.sqlite-wal", "c");
    expect(await first(files, byNumber(2))).toEqual(["a", "b.sqlite", "b.sqlite-shm", "b.sqlite-wal"]);
  });
});

test("a walk stops early when more is new than the limit allows, not counting known files", async () => {
  const { a } = await twoFolders();
  write(a.disk, { "d/1": "1", "d/2": "22", "d/3": "333" });
  const cut = async (most: Most) => (await walk(a.disk, NO_RULES, a.db, most)).isCut;
  expect([await cut(byNumber(4)), await cut(byNumber(3))]).toEqual([false, true]);
  expect([await cut(bySize(6)), await cut(bySize(5))]).toEqual([false, true]);
  await a.sync();
  a.disk.tick(3_000_000_000n);
  write(a.disk, { "d/4": "4444", "d/5": "55555" });
  expect([await cut(byNumber(2)), await cut(byNumber(1))]).toEqual([false, true]);
});

/** The first folder sends a thing at a time, and both are settled with some files. */
async function oneByOne(files: Readonly<Record<string, string>> = {}) {
  const { world, a, b } = await settled(files);
  a.portion = byNumber(1);
  return { world, a, b };
}

describe("in portions", () => {
  test("each is visible to others before the next one is sent", async () => {
    const { world, a } = await oneByOne();
    write(a.disk, { n1: "1", n2: "2", n3: "3" });
    expect(await swapsOf({ world, a })).toEqual(["n1", "n1 n2", "n1 n2 n3"]);
    expect((await settledTree(world)).size).toBe(3);
  });

  test("edits, moves and removals go after all of them, together with what took their place", async () => {
    const { world, a } = await oneByOne({ edited: "1", moved: "1", removed: "1", replaced: "1" });
    a.disk.write(path("edited"), "2");
    a.disk.make(path("d"));
    a.disk.move(path("moved"), path("d/moved"));
    a.disk.remove(path("removed"));
    a.disk.move(path("replaced"), path("d/aside"));
    write(a.disk, { n1: "1", n2: "2", replaced: "new" });
    const before = (await bucketTree(world.bucket)).size;
    const swaps = await swapsOf({ world, a });
    expect(swaps.slice(0, -1).every((tree) => tree.startsWith("d") || !tree.includes("d/"))).toBe(true);
    expect(swaps.at(-2)?.split(" ").length).toBe(before + 3);
    const tree = Object.fromEntries(await settledTree(world));
    expect(tree).toEqual({ d: "dir", "d/aside": "1", "d/moved": "1", edited: "2", n1: "1", n2: "2", replaced: "new" });
  });

  test("a moved file keeps its identity", async () => {
    const { world, a, b } = await oneByOne({ old: "old" });
    a.disk.make(path("d"));
    a.disk.move(path("old"), path("d/old"));
    write(a.disk, { n1: "1", n2: "2" });
    b.disk.write(path("old"), "edited there");
    await b.sync();
    expect(Object.fromEntries(await settledTree(world))).toMatchObject({ "d/old": "edited there" });
  });

  test("all names of a file stay hard links", async () => {
    const { world, a } = await oneByOne();
    write(a.disk, { "d/n1": "1", "d/n2": "2", "e/n": "3" });
    await a.disk.link(path("d/n1"), path("e/same"));
    await settledTree(world);
    const [one, other] = await Promise.all([a.disk.look(path("d/n1")), a.disk.look(path("e/same"))]);
    expect(one?.ino).toBe(other?.ino);
    expect(await namesAs(a)).toBe(2);
  });

  test("files published before the process died are not sent again", async () => {
    const { world, a } = await oneByOne();
    write(a.disk, { n1: "1", n2: "2", n3: "3" });
    let swaps = 0;
    world.remote.beforeSwap = async () => {
      if (++swaps === 2) throw new Error("The process died.");
    };
    await expect(a.sync()).rejects.toThrow("died");
    world.remote.beforeSwap = async () => {};
    expect([...(await bucketTree(world.bucket)).keys()]).toEqual(["n1"]);
    a.portion = undefined;
    const { local } = await a.sync();
    expect(local.map(({ object }) => object.found[0]?.name)).toEqual(["n2", "n3"]);
  });

  test("a directory keeps its modification time although later portions add to it", async () => {
    const { world, a, b } = await oneByOne({ "d/old": "old" });
    write(a.disk, { "d/n1": "1", "d/n2": "2", "e/n1": "1", "e/n2": "2" });
    await settledTree(world);
    for (const at of ["d", "e"]) {
      const [here, there] = await Promise.all([a.disk.look(path(at)), b.disk.look(path(at))]);
      expect(there?.mtimeNs).toBe(here?.mtimeNs);
    }
  });

  test("a directory's new mode reaches others although portions add to it", async () => {
    const { world, a, b } = await oneByOne({ "d/old": "old" });
    a.disk.chmod(path("d"), 0o750);
    write(a.disk, { "d/n1": "1", "d/n2": "2" });
    await settledTree(world);
    expect((await b.disk.look(path("d")))?.mode).toBe(0o750);
  });

  test("nothing more is sent once the folder is unplugged", async () => {
    const { world, a } = await oneByOne();
    write(a.disk, { n1: "1", n2: "2", n3: "3" });
    world.remote.beforeSwap = async () => {
      a.disk.remove(path(".syncline/folder.json"));
    };
    await expect(a.sync()).rejects.toMatchObject({ code: "precondition_failed" });
    expect([...(await bucketTree(world.bucket)).keys()]).toEqual(["n1"]);
  });

  test("a file that keeps changing does not hold others back", async () => {
    const { world, a } = await oneByOne();
    write(a.disk, { n1: "1", n2: "2", n3: "3" });
    const read = a.disk.read.bind(a.disk);
    a.disk.read = async (at) => {
      const file = await read(at);
      if (at.join("/") === "n1") a.disk.write(path("n1"), `${a.disk.nowNs()}`);
      a.disk.tick(100_000_000n);
      return file;
    };
    const { unstable } = await a.sync();
    expect(unstable.map((at) => at.join("/"))).toEqual(["n1"]);
    expect([...(await bucketTree(world.bucket)).keys()].sort()).toEqual(["n2", "n3"]);
  });
});

async function namesAs({ db, disk }: SyncedFolder): Promise<number> {
  const stat = await disk.look(path("d/n1"));
  return stat === undefined ? 0 : db.byInode(stat.ino).length;
}

describe("files that arrive in portions", () => {
  /** A folder that gets a thing at a time of what the other one has. */
  async function coming(files: Readonly<Record<string, string>>, change: (disk: MemorySyncDisk) => void = () => {}) {
    const { world, a, b } = await twoFolders();
    write(a.disk, files);
    change(a.disk);
    await a.sync();
    b.portion = byNumber(1);
    return { world, a, b };
  }
  const FILES = { "d/1": "1", "d/2": "2", "d/e/3": "3", "d/e/4": "4", "f/5": "5", z: "z" };

  test("match the other folder's, with times and modes", async () => {
    const { world, a, b } = await coming(FILES, (disk) => {
      disk.chmod(path("d"), 0o555);
      disk.chmod(path("d/e"), 0o700);
      disk.chmod(path("f/5"), 0o640);
    });
    expect((await b.sync()).applied).toEqual({ files: 6, removed: 0, left: [] });
    for (const at of ["d", "d/e", "d/e/4", "f", "f/5"]) {
      const [one, other] = await Promise.all([a.disk.look(path(at)), b.disk.look(path(at))]);
      expect([other?.mode, other?.mtimeNs]).toEqual([one?.mode, one?.mtimeNs]);
    }
    expect((await b.sync()).local).toEqual([]);
    await settledTree(world);
  });

  test("can be hard-linked, and both names count as one file", async () => {
    const { world, b } = await coming(FILES);
    await settledTree(world);
    await b.disk.link(path("d/1"), path("f/same"));
    await settledTree(world);
    expect(b.db.byInode((await b.disk.look(path("d/1")))?.ino ?? 0n)).toHaveLength(2);
  });

  test("overwrite nothing that somebody has there", async () => {
    const { world, b } = await coming(FILES);
    write(b.disk, { "d/1": "mine" });
    const tree = await settledTree(world);
    expect([...tree.values()].sort()).toEqual(["1", "2", "3", "4", "5", "dir", "dir", "dir", "mine", "z"]);
  });

  test("are complete in the end, wherever a run is killed", async () => {
    for (let change = 0; ; change += 3) {
      const { world, a, b } = await coming(FILES, (disk) => disk.chmod(path("d/e"), 0o700));
      const was = await killed(b, change);
      await settledTree(world);
      for (const at of ["d", "d/e", "f"]) {
        const [one, other] = await Promise.all([a.disk.look(path(at)), b.disk.look(path(at))]);
        expect([change, other?.mode, other?.mtimeNs]).toEqual([change, one?.mode, one?.mtimeNs]);
      }
      if (!was) break;
    }
  });
});
