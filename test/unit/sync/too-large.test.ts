/** Files and names that a disk can hold but a bucket cannot: status lists them, and everything else is synced. */
import { describe, expect, test } from "vitest";
import type { FileName } from "../../../src/base/ids.ts";
import { systemFailure } from "../../../src/base/system-errors.ts";
import { isUnpublished, reportOf } from "../../../src/sync/report.ts";
import { bucketTree, path, settle, type SyncedFolder, twoFolders } from "../../support/sync-world.ts";

/** 86 characters, of three bytes each, as macOS and Windows allow. */
const LONG = Buffer.from("書".repeat(86)).toString("latin1") as FileName;
const SPARSE = 2 ** 53;

/** What a pass leaves, and why. The first pass sends all else. */
async function left(folder: SyncedFolder): Promise<[string, string][]> {
  folder.disk.tick(3_000_000_000n);
  const report = reportOf([await folder.sync()]);
  expect(report && isUnpublished(report)).toBe(true);
  return (report?.left ?? []).map((each) => [each.path, each.why]);
}

const TEXT = Buffer.from(LONG, "latin1").toString();

/** Gives it more attributes than a bucket holds, until the result is disposed. */
async function overload({ disk }: SyncedFolder, at: string): Promise<Disposable> {
  const { xattrs } = disk;
  const change = (value: string) => disk.setXattrs(path(at), new Map([["user.large", Buffer.from(value)]]));
  await change("1");
  disk.xattrs = async (each) => {
    if (each.join("/") === at) throw systemFailure("E2BIG", at);
    return xattrs.call(disk, each);
  };
  return {
    [Symbol.dispose]: () => {
      disk.tick();
      disk.touch(path(at));
      disk.xattrs = xattrs;
    },
  };
}

describe.each([
  ["a long name", LONG, "name too long", ({ disk }: SyncedFolder) => disk.write([LONG], "1")],
  [
    "many attributes",
    "x.bin",
    "too large",
    async (folder: SyncedFolder) => {
      folder.disk.write(path("x.bin"), "1");
      await overload(folder, "x.bin");
    },
  ],
  [
    "a size beyond all limits",
    "x.bin",
    "too large",
    ({ disk }: SyncedFolder) => {
      disk.write(path("x.bin"), "1");
      const { list } = disk;
      disk.list = async (at) => {
        const entries = await list.call(disk, at);
        return entries.map(({ name, stat }) => ({ name, stat: name === "x.bin" ? { ...stat, size: SPARSE } : stat }));
      };
    },
  ],
])("a new file with %s", (_, name, why, make) => {
  test.each([undefined, { things: 2, bytes: Infinity }])(
    "stays here alone, also among portions %j",
    async (portion) => {
      const { world, a } = await twoFolders();
      a.portion = portion;
      await make(a);
      for (const other of ["a.bin", "b.bin", "y.bin", "z.bin"]) a.disk.write(path(other), other);
      const text = Buffer.from(name, "latin1").toString();
      expect(await left(a)).toEqual([[text, why]]);
      expect([...(await bucketTree(world.bucket)).keys()]).toEqual(["a.bin", "b.bin", "y.bin", "z.bin"]);
      expect(await left(a)).toEqual([[text, why]]);
      expect(a.disk.tree().get(name)).toBe("1");
    },
  );
});

test("a synced file that gets too many attributes keeps its old version in the bucket, and is synced again once it has fewer", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("x.bin"), "1");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.write(path("x.bin"), "2");
  {
    using _many = await overload(a, "x.bin");
    expect(await left(a)).toEqual([["x.bin", "too large"]]);
    b.disk.write(path("x.bin"), "3");
    await b.sync();
    expect(await left(a)).toContainEqual(["x.bin", "too large"]);
    expect(a.disk.tree().get("x.bin")).toBe("2");
  }
  await settle(world);
  expect(new Set(a.disk.tree().values())).toEqual(new Set(["2", "3"]));
});

test("a directory with too many attributes is synced without them, and gets the modes that others set once it has fewer", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("d"));
  await settle(world);
  a.disk.tick(3_000_000_000n);
  {
    using _many = await overload(a, "d");
    a.disk.write(path("d/f"), "1");
    b.disk.chmod(path("d"), 0o750);
    for (const folder of [b, a, b]) await folder.sync();
    expect(b.disk.tree().get("d/f")).toBe("1");
  }
  await settle(world);
  expect((await a.disk.look(path("d")))?.mode).toBe(0o750);
});

test("a file or directory that is renamed to a long name stays in the bucket, with all in it", async () => {
  for (const name of ["f.bin", "d"]) {
    const { world, a, b } = await twoFolders();
    a.disk.make(path("d"));
    for (const file of ["f.bin", "d/x.bin", "d/y.bin"]) a.disk.write(path(file), file);
    await settle(world);
    const before = await bucketTree(world.bucket);
    a.disk.tick(3_000_000_000n);
    a.disk.move(path(name), [LONG]);
    expect(await left(a)).toEqual([[TEXT, "name too long"]]);
    expect(await bucketTree(world.bucket)).toEqual(before);

    // What leaves it is synced.
    if (name === "d") a.disk.move([LONG, ...path("y.bin")], path("y.bin"));
    expect(await left(a)).toContainEqual([TEXT, "name too long"]);
    a.disk.move([LONG], path("renamed"));
    await settle(world);
    const moved =
      name === "d" ? { renamed: "dir", "renamed/x.bin": "d/x.bin", "y.bin": "d/y.bin" } : { renamed: "f.bin" };
    for (const tree of [a.disk.tree(), b.disk.tree()]) expect(Object.fromEntries(tree)).toMatchObject(moved);
  }
});

test("a new directory with a long name stays here with all in it", async () => {
  const { world, a } = await twoFolders();
  a.disk.make([LONG]);
  a.disk.write([LONG, ...path("f")], "1");
  a.disk.write(path("g"), "2");
  expect(await left(a)).toEqual([[TEXT, "name too long"]]);
  expect([...(await bucketTree(world.bucket)).keys()]).toEqual(["g"]);
});
