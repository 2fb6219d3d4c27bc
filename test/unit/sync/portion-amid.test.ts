/** Portions beside what else happens: others' changes, the deletion limit, files that do not hold still, what belongs together. */
import { describe, expect, test } from "vitest";
import { resolvePath } from "../../../src/fstree/fs-reader.ts";
import { NodeStore } from "../../../src/tree/node-store.ts";
import type { MemorySyncDisk } from "../../../src/simulate/folder/memory-sync-disk.ts";
import { byNumber, settled, swapsOf, write } from "../../support/portions.ts";
import {
  bucketTree,
  path,
  removeUnasked,
  settledTree,
  twoFolders,
  type SyncedFolder,
  type SyncWorld,
} from "../../support/sync-world.ts";

async function idOf({ bucket }: SyncWorld, at: string) {
  const nodes = new NodeStore(bucket.blocks, { capacityBytes: 1 << 20 });
  return (await resolvePath(nodes, (await bucket.head()).commit.body.tree, path(at)))?.id;
}

describe.each([
  { how: "at once", portion: undefined },
  { how: "in portions", portion: byNumber(1) },
])("new files in a known nested directory, $how", ({ portion }) => {
  const NEW = { "d/e/n1": "1", "d/e/n2": "2", "d/e/n3": "3" };

  test("leave the directory's identity unchanged", async () => {
    const { world, a } = await settled({ "d/e/old": "old" });
    a.portion = portion;
    const before = await idOf(world, "d/e");
    write(a.disk, NEW);
    await settledTree(world);
    expect(await idOf(world, "d/e")).toBe(before);
  });

  test("go in one portion each, if portions are in use", async () => {
    const { world, a } = await settled({ "d/e/old": "old" });
    a.portion = portion;
    write(a.disk, NEW);
    const { added } = await a.sync();
    expect(added).toBe(portion === undefined ? 0 : 3);
    await settledTree(world);
  });

  test("follow the directory when others renamed it", async () => {
    const { world, a, b } = await settled({ "d/e/old": "old" });
    a.portion = portion;
    write(a.disk, NEW);
    b.disk.move(path("d/e"), path("d/renamed"));
    await b.sync();
    await a.sync();
    const tree = await settledTree(world);
    expect([...tree.keys()].sort()).toEqual([
      "d",
      "d/renamed",
      "d/renamed/n1",
      "d/renamed/n2",
      "d/renamed/n3",
      "d/renamed/old",
    ]);
  });

  test("leave a mode that others gave the directory", async () => {
    const { world, a, b } = await settled({ "d/e/old": "old" });
    a.portion = portion;
    write(a.disk, NEW);
    b.disk.chmod(path("d/e"), 0o750);
    await b.sync();
    await settledTree(world);
    expect((await a.disk.look(path("d/e")))?.mode).toBe(0o750);
  });

  test("keep the directory when others removed it", async () => {
    const { world, a, b } = await settled({ "d/e/old": "old" });
    a.portion = portion;
    write(a.disk, NEW);
    b.disk.remove(path("d/e/old"));
    b.disk.remove(path("d/e"));
    await b.sync();
    const tree = await settledTree(world);
    expect([...tree.keys()].sort()).toEqual(["d", "d/e", "d/e/n1", "d/e/n2", "d/e/n3"]);
  });

  test("cause no conflict, and nothing reported as moved or deleted", async () => {
    const { world, a } = await settled({ "d/e/old": "old" });
    a.portion = portion;
    write(a.disk, NEW);
    const { local, conflicts } = await a.sync();
    expect(conflicts).toEqual([]);
    expect(local.filter(({ action }) => action === "moved" || action === "deleted")).toEqual([]);
    await settledTree(world);
  });
});

describe("deletions are held despite many new files", () => {
  const OLD = Object.fromEntries(Array.from({ length: 110 }, (_, at) => [`old/${at}`, `${at}`]));
  const NEW = Object.fromEntries(Array.from({ length: 230 }, (_, at) => [`new/${at}`, `n${at}`]));
  const drop = (disk: MemorySyncDisk) => {
    for (const at of Object.keys(OLD)) disk.remove(path(at));
    write(disk, NEW);
  };

  test.each([undefined, byNumber(50)])("in the folder: %j", async (portion) => {
    const { a, b } = await settled(OLD);
    await removeUnasked(a, Object.keys(OLD));
    write(a.disk, NEW);
    await a.sync();
    b.portion = portion;
    const { held } = await b.sync();
    expect(held?.files).toBe(110);
    expect((await b.sync()).held?.files).toBe(110);
  });

  test.each([undefined, byNumber(50)])("in the bucket: %j", async (portion) => {
    const { a } = await settled(OLD);
    a.portion = portion;
    drop(a.disk);
    expect((await a.sync()).held?.files).toBe(110);
    expect((await a.sync()).held?.files).toBe(110);
  });
});

test.each([undefined, byNumber(1)])("two files that keep changing do not hold others back: %j", async (portion) => {
  const { world, a } = await settled();
  a.portion = portion;
  write(a.disk, { n1: "1", n2: "2", n3: "3" });
  const read = a.disk.read.bind(a.disk);
  let reads = 0;
  a.disk.read = async (at) => {
    const file = await read(at);
    const text = at.join("/");
    if (text === "n1" || text === "n2") a.disk.write(at, `${a.disk.nowNs()}`);
    a.disk.tick(100_000_000n);
    return file;
  };
  const list = a.disk.list.bind(a.disk);
  a.disk.list = async (at) => {
    if (++reads > 500) throw new Error("It goes on for ever.");
    return list(at);
  };
  const { unstable } = await a.sync();
  expect(unstable.map((at) => at.join("/")).sort()).toEqual(["n1", "n2"]);
  expect([...(await bucketTree(world.bucket)).keys()].sort()).toEqual(["n3"]);
});

test.each([undefined, byNumber(1)])("a pass with nothing to do announces no writes: %j", async (portion) => {
  const { a, b } = await twoFolders();
  write(b.disk, { ".synclineignore": "/skip\n" });
  write(a.disk, { "skip/1": "1", "skip/2": "2", "skip/3": "3" });
  await a.sync();
  b.portion = portion;
  for (let pass = 0; pass < 4; pass++) await b.sync();
  const told: number[] = [];
  await b.sync({ progress: { applying: (places) => void told.push(places) } });
  expect(told).toEqual([]);
});

describe("portions bring every new file into a folder that was synced before", () => {
  async function coming(most: number, files: Record<string, string>, change: (a: SyncedFolder) => Promise<void>) {
    const { a, b } = await settled({ old: "old" });
    write(a.disk, files);
    await change(a);
    await a.sync();
    b.portion = byNumber(most);
    let created = 0;
    const create = b.disk.create.bind(b.disk);
    b.disk.create = async (at) => {
      created++;
      return create(at);
    };
    const { plan, applied } = await b.sync();
    const late = plan.puts.filter(({ target }) => target.record.type === "file").length;
    return { came: applied.files, late, created };
  }
  const ALL = { came: 64, late: 0, created: 64 };
  const nothing = async () => {};

  test.each([1, 8])("flat trees, %i at a time", async (most) => {
    const files: Record<string, string> = {};
    for (let at = 0; at < 64; at++) files[`p${at % 4}/q${at % 16}/f${at}`] = `${at}`;
    expect(await coming(most, files, nothing)).toEqual(ALL);
  });

  test.each([1, 8])("deep trees, %i at a time", async (most) => {
    const files: Record<string, string> = {};
    for (let at = 0; at < 64; at++) files[`a/b/c/d/e/g/h/i${at % 4}/j${at % 8}/k${at % 16}/f${at}`] = `${at}`;
    expect(await coming(most, files, nothing)).toEqual(ALL);
  });

  test.each([1, 8])("a tree that had been moved into a new directory, %i at a time", async (most) => {
    const files: Record<string, string> = {};
    for (let at = 0; at < 64; at++) files[`q/r${at % 8}/f${at}`] = `${at}`;
    const came = await coming(most, files, async (a) => {
      await a.sync();
      a.disk.make(path("zz"));
      a.disk.move(path("q"), path("zz/q"));
    });
    expect(came).toEqual(ALL);
  });
});

describe("on a case-insensitive disk", () => {
  test.each([undefined, byNumber(1)])("a file arrives under a name that a rename frees: %j", async (portion) => {
    const { world, a, b } = await settled({ C: "C", z: "z" });
    b.disk.foldsCase = true;
    a.disk.move(path("C"), path("B"));
    write(a.disk, { c: "c", c2: "c2", c3: "c3" });
    await a.sync();
    b.portion = portion;
    for (let pass = 0; pass < 4; pass++) await b.sync();
    expect([...b.disk.tree().keys()].sort()).toEqual(["B", "c", "c2", "c3", "z"]);
    expect(world.folders.length).toBe(2);
  });

  test.each([undefined, byNumber(1)])("a name collision is reported once: %j", async (portion) => {
    const { a, b } = await twoFolders();
    b.disk.foldsCase = true;
    write(a.disk, { A: "A", a: "a", x: "x" });
    await a.sync();
    b.portion = portion;
    const { applied, plan } = await b.sync();
    expect([...plan.left, ...applied.left].map(({ reason }) => reason)).toEqual(["name collides"]);
  });
});

describe("units in portions", () => {
  test("a repository with files linked from another one (as git clone of a folder makes them) is published whole", async () => {
    const { world, a } = await settled({ "r/.git/HEAD": "ref", "r/.git/objects/o1": "o1" });
    a.portion = byNumber(2);
    write(a.disk, { "s/.git/HEAD": "ref", n1: "1", n2: "2", n3: "3" });
    a.disk.make(path("s/.git/objects"));
    await a.disk.link(path("r/.git/objects/o1"), path("s/.git/objects/o1"));
    for (const tree of await swapsOf({ world, a }))
      expect([tree, tree.includes("s/.git/HEAD")]).toEqual([tree, tree.includes("s/.git/objects/o1")]);
  });

  test("a database whose log is written once while it is read is published whole", async () => {
    const { world, a } = await settled();
    a.portion = byNumber(1);
    write(a.disk, { "b.sqlite": "1", "b.sqlite-wal": "2", n1: "1", n2: "2" });
    const read = a.disk.read.bind(a.disk);
    let isOnce = true;
    a.disk.read = async (at) => {
      const file = await read(at);
      if (at.join("/") === "b.sqlite-wal" && isOnce) {
        isOnce = false;
        a.disk.write(at, "longer");
      }
      return file;
    };
    for (const tree of await swapsOf({ world, a }))
      expect([tree, /b.sqlite( |$)/.test(tree)]).toEqual([tree, tree.includes("b.sqlite-wal")]);
  });

  test("a moved database with a new log beside it is published whole", async () => {
    const { world, a } = await settled({ "b.sqlite": "1", "d/x": "x" });
    a.portion = byNumber(1);
    a.disk.move(path("b.sqlite"), path("d/b.sqlite"));
    write(a.disk, { "d/b.sqlite-wal": "2", n1: "1", n2: "2" });
    for (const tree of await swapsOf({ world, a }))
      expect([tree, tree.includes("d/b.sqlite-wal")]).toEqual([tree, / d\/b.sqlite( |$)/.test(tree)]);
  });
});

describe("while deletions in the folder wait for approval", () => {
  test("directories that arrived before have their modes, and none is published for them", async () => {
    const old = Object.fromEntries(Array.from({ length: 150 }, (_, at) => [`old/${at}`, `${at}`]));
    const { world, a, b } = await settled(old);
    await removeUnasked(a, Object.keys(old));
    write(a.disk, { "n/1": "1", "n/2": "2", "n/3": "3" });
    await a.sync();
    b.portion = byNumber(1);
    expect((await b.sync()).held?.files).toBe(150);
    const mode = async () => (await b.disk.look(path("n")))?.mode;
    const first = await mode();
    b.disk.tick(3_000_000_000n);
    write(b.disk, { "n/mine": "mine" });
    await b.sync();
    await a.sync();
    expect([first, (await a.disk.look(path("n")))?.mode]).toEqual([0o755, 0o755]);
    expect(world.folders.length).toBe(2);
  });
});

describe("hard links arrive as hard links", () => {
  test.each([1, 2, 3])("%i at a time", async (most) => {
    const { world, a, b } = await settled({ old: "old" });
    write(a.disk, { "d/1": "1", "e/x": "x", "f/y": "y" });
    await a.disk.link(path("d/1"), path("e/1"));
    await a.disk.link(path("d/1"), path("f/1"));
    await a.disk.link(path("old"), path("f/old"));
    a.portion = byNumber(most);
    b.portion = byNumber(most);
    await settledTree(world);
    for (const [one, other] of [
      ["d/1", "e/1"],
      ["d/1", "f/1"],
      ["old", "f/old"],
    ] as const) {
      for (const { disk } of [a, b])
        expect((await disk.look(path(one)))?.ino).toBe((await disk.look(path(other)))?.ino);
    }
  });
});
