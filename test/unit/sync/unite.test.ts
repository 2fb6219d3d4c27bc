/** Directories of which a merge made one: what a folder has in both comes to be in one there, too. */
import { expect, test } from "vitest";
import { PARKED_PATH } from "../../../src/sync/disk/paths.ts";
import { Crash } from "../../../src/simulate/folder/memory-sync-disk.ts";
import { bucketTree, path, settle, settledTree, type SyncedFolder, twoFolders } from "../../support/sync-world.ts";

/** One folder moves `d` to `e`, where the other one made a directory at the same time. */
async function united(made: (b: SyncedFolder) => void): Promise<Record<string, string>> {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("d"));
  a.disk.make(path("d/s"));
  a.disk.write(path("d/x.bin"), "of d");
  a.disk.write(path("d/s/y.bin"), "of d/s");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.move(path("d"), path("e"));
  b.disk.make(path("e"));
  made(b);
  await settle(world);
  const whole = await bucketTree(world.bucket);
  for (const { disk } of [a, b]) {
    expect(disk.tree()).toEqual(whole);
    expect(disk.tree(PARKED_PATH).size).toBe(0);
  }
  return Object.fromEntries([...whole].filter(([, text]) => text !== "dir"));
}

const copyOf = (stem: string) =>
  expect.stringMatching(new RegExp(`^${stem} \\(conflict [0-9a-f]{8}\\)\\.bin$`)) as string;

test("merging two directories keeps files that only one of them has", async () => {
  const whole = await united(({ disk }) => disk.write(path("e/new.bin"), "of e"));
  expect(whole).toEqual({ "e/new.bin": "of e", "e/x.bin": "of d", "e/s/y.bin": "of d/s" });
});

test("different files of the same name both survive, one as a conflict copy", async () => {
  const whole = await united(({ disk }) => disk.write(path("e/x.bin"), "of e"));
  expect(Object.entries(whole).sort()).toEqual([
    ["e/s/y.bin", "of d/s"],
    [copyOf("e/x"), "of e"],
    ["e/x.bin", "of d"],
  ]);
});

test("identical files of the same name become one", async () => {
  const whole = await united(({ disk }) => disk.write(path("e/x.bin"), "of d"));
  expect(whole).toEqual({ "e/x.bin": "of d", "e/s/y.bin": "of d/s" });
});

test("a folder that brings what the bucket has already changes nothing in the bucket, and nothing in any folder", async () => {
  const { world, a, b } = await twoFolders();
  for (const { disk } of [a, b]) {
    for (const name of ["d", "d/e"]) disk.make(path(name));
    for (const name of ["x", "d/y", "d/e/z"]) disk.write(path(name), name);
    await disk.makeSymlink(path("d/link"), "y");
  }
  b.disk.tick(3_000_000_000n);
  await a.sync();
  const { tree } = (await world.bucket.head()).commit.body;
  const joining = await b.sync();
  expect((await world.bucket.head()).commit.body.tree).toBe(tree);
  expect([joining.plan.puts, (await a.sync()).plan.puts]).toEqual([[], []]);
  b.disk.chmod(path("d/y"), 0o600);
  await settledTree(world);
  expect((await a.disk.look(path("d/y")))?.mode).toBe(0o600);
});

test("subdirectories of the same name merge too, recursively", async () => {
  const whole = await united(({ disk }) => {
    disk.make(path("e/s"));
    disk.write(path("e/s/y.bin"), "of e/s");
    disk.write(path("e/s/z.bin"), "new");
  });
  expect(Object.entries(whole).sort()).toEqual([
    [copyOf("e/s/y"), "of e/s"],
    ["e/s/y.bin", "of d/s"],
    ["e/s/z.bin", "new"],
    ["e/x.bin", "of d"],
  ]);
});

test("a file and a directory of the same name both survive", async () => {
  const whole = await united(({ disk }) => disk.write(path("e/s"), "a file"));
  expect(Object.values(whole).sort()).toEqual(["a file", "of d", "of d/s"]);
});

test.each(["nothing", "a file"])(
  "a directory created where others had just moved one with %s keeps its files",
  async (what) => {
    const { world, a, b } = await twoFolders();
    a.disk.make(path("k"));
    if (what === "a file") a.disk.write(path("k/old"), "old");
    await settle(world);
    b.disk.move(path("k"), path("p"), "free");
    b.disk.write(path("x"), "x");
    await b.sync();
    a.disk.tick(3_000_000_000n);
    // It stands on the new root, and dies before it shows what that has.
    a.notes = 3;
    await expect(a.sync()).rejects.toThrow(Crash);
    a.notes = undefined;
    expect(a.db.unsettled().map(({ name }) => name)).toContain("p");
    a.disk.tick(3_000_000_000n);
    a.disk.make(path("p"));
    a.disk.make(path("p/q"));
    for (const file of ["1", "2", "q/3"]) a.disk.write(path(`p/${file}`), `new ${file}`);
    await a.sync();
    const whole = await settledTree(world);
    const files = [...whole].filter(([, text]) => text !== "dir").map(([at]) => at);
    expect(files.sort()).toEqual(["p/1", "p/2", ...(what === "a file" ? ["p/old"] : []), "p/q/3", "x"]);
  },
);
