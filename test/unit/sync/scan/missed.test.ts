/** Files that move while a scan looks at their directories. */
import { expect, test } from "vitest";
import { hurriedClock } from "../../../support/test-bucket.ts";
import {
  afterListing,
  bucketTree,
  path,
  settle,
  settledTree,
  type SyncedFolder,
  twoFolders,
} from "../../../support/sync-world.ts";

/** Two synced folders with the directories `a` and `z`; `z` contains a file and a directory. */
async function settled() {
  const { world, a, b } = await twoFolders();
  for (const directory of ["a", "z", "z/d"]) a.disk.make(path(directory));
  for (const file of ["a/x", "z/f", "z/d/1", "z/d/2"]) a.disk.write(path(file), file);
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  return { world, a, b };
}

const actionsOf = (pass: Awaited<ReturnType<SyncedFolder["sync"]>>) =>
  pass.local
    .filter(({ action }) => action !== "changed")
    .map(({ action, object }) => [action, object.found[0]?.path.join("/")]);

test.each(["f", "d"])("a move of z/%s to a directory that was listed already is no deletion", async (name) => {
  const { world, a, b } = await settled();
  b.disk.write(path("z/d/1"), "of b");
  b.disk.write(path("z/f"), "of b");
  await b.sync();
  let isMoved = false;
  using _moving = afterListing(a, "a", () => {
    if (!isMoved) a.disk.move(path(`z/${name}`), path(`a/${name}`));
    isMoved = true;
  });
  expect(actionsOf(await a.sync())).toEqual([["moved", `a/${name}`]]);
  const whole = await settledTree(world);
  expect(whole.get(name === "f" ? "a/f" : "a/d/1")).toBe("of b");
});

test("a deletion is published at once, even if other files keep coming", async () => {
  const { world, a } = await settled();
  a.disk.remove(path("z/f"));
  let files = 0;
  using _coming = afterListing(a, "a", () => a.disk.write(path(`a/${files++}`), "new"));
  expect(actionsOf(await a.sync())).toContainEqual(["deleted", undefined]);
  expect((await bucketTree(world.bucket)).has("z/f")).toBe(false);
});

test("a file that is missing only from the last of several scans is kept, and synced by the next pass", async () => {
  const { world, a } = await settled();
  const names = ["0", "1", "2", "3"];
  for (const name of names) a.disk.write(path(`z/${name}`), name);
  await settle(world);
  a.disk.tick(3_000_000_000n);
  let moves = 0;
  using moving = afterListing(a, "a", () => {
    const name = names[moves++];
    if (name !== undefined) a.disk.move(path(`z/${name}`), path(`a/${name}`));
  });
  const pass = await a.sync();
  expect(actionsOf(pass)).toEqual(["0", "1", "2"].map((name) => ["moved", `a/${name}`]));
  expect(pass.unstable).toEqual([path("z/3")]);
  moving[Symbol.dispose]();
  expect(actionsOf(await a.sync())).toEqual([["moved", "a/3"]]);
});

test("a move to a directory that is listed later is no new file", async () => {
  const { world, a, b } = await settled();
  b.disk.write(path("a/x"), "of b");
  await b.sync();
  let isMoved = false;
  using _moving = afterListing(a, "a", () => {
    if (!isMoved) a.disk.move(path("a/x"), path("z/x"));
    isMoved = true;
  });
  expect(actionsOf(await a.sync())).toEqual([["moved", "z/x"]]);
  const whole = await settledTree(world);
  expect([whole.get("z/x"), whole.get("a/x")]).toEqual(["of b", undefined]);
});

test("a name that a file gets in a directory that is listed later is a hard link", async () => {
  const { world, a, b } = await settled();
  b.disk.write(path("a/x"), "of b");
  await b.sync();
  let isLinked = false;
  using _linking = afterListing(a, "a", () => {
    if (!isLinked) void a.disk.link(path("a/x"), path("z/x"));
    isLinked = true;
  });
  await a.sync();
  const whole = await settledTree(world);
  expect([whole.get("z/x"), whole.get("a/x")]).toEqual(["of b", "of b"]);
  for (const { disk } of [a, b]) expect((await disk.look(path("a/x")))?.links).toBe(2);
});

test("a new file that reuses the inode number of a removed file is a new file", async () => {
  const { world, a, b } = await settled();
  b.disk.write(path("a/x"), "of b");
  await b.sync();
  let isMade = false;
  using _making = afterListing(a, "a", () => {
    if (isMade) return;
    isMade = true;
    a.disk.remove(path("a/x"));
    a.disk.write(path("z/x"), "of a");
  });
  await a.sync();
  const whole = await settledTree(world);
  expect([whole.get("z/x"), whole.get("a/x")]).toEqual(["of a", "of b"]);
});

test("a file that moves during each of several scans keeps its old name until the next pass", async () => {
  const { world, a, b } = await settled();
  const names = ["0", "1", "2", "3"];
  for (const name of names) a.disk.write(path(`a/${name}`), name);
  await settle(world);
  a.disk.tick(3_000_000_000n);
  b.disk.write(path("a/3"), "of b");
  await b.sync();
  let moves = 0;
  using moving = afterListing(a, "a", () => {
    const name = names[moves++];
    if (name !== undefined) a.disk.move(path(`a/${name}`), path(`z/${name}`));
  });
  const pass = await a.sync();
  expect(actionsOf(pass)).toEqual(["0", "1", "2"].map((name) => ["moved", `z/${name}`]));
  expect(pass.unstable).toEqual([path("z/3")]);
  moving[Symbol.dispose]();
  const whole = await settledTree(world);
  expect([whole.get("z/3"), whole.get("a/3")]).toEqual(["of b", undefined]);
});

test.each([
  ["2 s", 2_000_000_000n],
  ["1 s", 1_000_000_000n],
  ["4 ms", 4_000_000n],
])("a move during a scan is no deletion if the disk's times have a resolution of %s", async (_, step) => {
  const { world, a } = await settled();
  a.disk.write(path("z/1"), "z/1");
  await settle(world);
  const exact = a.disk.nowNs.bind(a.disk);
  a.disk.nowNs = () => exact() - (exact() % step);
  a.disk.tick(step - (exact() % step) + 1_000_000n);
  a.disk.move(path("z/1"), path("a/1"));
  let isMoved = false;
  using _moving = afterListing(a, "a", () => {
    if (!isMoved) a.disk.move(path("z/f"), path("a/f"));
    isMoved = true;
  });
  const pass = await a.sync({ clock: { ...hurriedClock, nowNs: exact } });
  expect(actionsOf(pass)).not.toContainEqual(["deleted", undefined]);
  expect((await settledTree(world)).get("a/f")).toBe("z/f");
});

test.each([0n, 5_000_000_000n])("a deletion %s ns before a scan is published by that pass", async (before) => {
  const { world, a } = await settled();
  a.disk.remove(path("z/f"));
  a.disk.tick(before);
  let walks = 0;
  using _counted = afterListing(a, "", () => void walks++);
  expect(actionsOf(await a.sync())).toEqual([["deleted", undefined]]);
  expect((await bucketTree(world.bucket)).has("z/f")).toBe(false);
  expect(walks).toBe(before === 0n ? 3 : 1);
});
