/** Directories that others move to an ignored path, and away from one. */
import { expect, test } from "vitest";
import { bucketTree, killed, pair, path, settle, syncWorld } from "../../../support/sync-world.ts";

const RULES = path(".synclineignore");
const FILES = ["p/1", "p/q/2", "archive/0"];
const IN_ARCHIVE = ["archive/p", "archive/p/1", "archive/p/q", "archive/p/q/2"];

/** A folder that ignores its archive, and one whose own rules ignore nothing but themselves. */
async function withArchive() {
  const world = await syncWorld(2);
  const [a, c] = pair(world);
  c.disk.write(RULES, "/.synclineignore\n");
  await settle(world);
  for (const name of ["p", "p/q", "archive"]) c.disk.make(path(name));
  for (const name of FILES) c.disk.write(path(name), name);
  await settle(world);
  a.disk.write(RULES, "/archive/\n");
  await settle(world);
  for (const { disk } of [a, c]) disk.tick(3_000_000_000n);
  const bucket = async () => [...(await bucketTree(world.bucket)).keys()];
  const folder = () => [...a.disk.tree().keys()];
  return { world, a, c, bucket, folder };
}

test("it leaves the folder with all that is in it, and comes back whole", async () => {
  const { world, c, bucket, folder } = await withArchive();
  c.disk.move(path("p"), path("archive/p"));
  await settle(world);
  expect(folder().sort()).toEqual([".synclineignore", "archive", "archive/0"]);
  expect(await bucket()).toEqual(expect.arrayContaining(IN_ARCHIVE));
  c.disk.move(path("archive/p"), path("z"));
  await settle(world);
  expect(folder()).toEqual(expect.arrayContaining(["z", "z/1", "z/q", "z/q/2"]));
});

test("it comes back whole once its path is ignored no longer", async () => {
  const { world, a, c, folder } = await withArchive();
  c.disk.move(path("p"), path("archive/p"));
  await settle(world);
  a.disk.remove(RULES);
  await settle(world);
  expect(folder()).toEqual(expect.arrayContaining(IN_ARCHIVE));
});

test("what was made and written in it meanwhile goes along", async () => {
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

test("another directory takes its name", async () => {
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

test("what is ignored in it stays here, and goes without the rest", async () => {
  const { world, a, c, bucket, folder } = await withArchive();
  a.disk.write(RULES, "/archive/\n*.log\n");
  a.disk.write(path("p/q/x.log"), "log");
  await settle(world);
  c.disk.move(path("p"), path("archive/p"));
  await c.sync();
  await a.sync();
  expect(folder().sort()).toEqual([".synclineignore", "archive", "archive/0", "p", "p/q", "p/q/x.log"]);
  for (const name of ["p/q/x.log", "p/q", "p"]) a.disk.remove(path(name));
  await settle(world);
  expect(await bucket()).toEqual(expect.arrayContaining(IN_ARCHIVE));
});

test("a pass that is killed at any change loses nothing of it", async () => {
  for (let change = 0, isMore = true; isMore; change++) {
    const { world, a, c, bucket, folder } = await withArchive();
    c.disk.move(path("p"), path("archive/p"));
    await c.sync();
    isMore = await killed(a, change);
    a.disk.budget = undefined;
    await settle(world);
    expect(await bucket()).toEqual(expect.arrayContaining(IN_ARCHIVE));
    expect(folder()).not.toContain("p");
    c.disk.move(path("archive/p"), path("z"));
    await c.sync();
    isMore = (await killed(a, change)) || isMore;
    a.disk.budget = undefined;
    await settle(world);
    expect(folder()).toEqual(expect.arrayContaining(["z/1", "z/q/2"]));
  }
});
