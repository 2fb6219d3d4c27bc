/** What a pass does not try to change in the folder. */
import { expect, test } from "vitest";
import type { DiskPath } from "../../../../src/sync/disk/disk.ts";
import { Attacker } from "../../../support/attacker.ts";
import { cyclicRows } from "../../../support/cyclic-rows.ts";
import {
  bucketTree,
  pair,
  path,
  settle,
  settledTree,
  type SyncedFolder,
  syncWorld,
  twoFolders,
} from "../../../support/sync-world.ts";

/** Locks an encrypted directory as Linux does: its names are hidden, and none can be added. */
function lock({ disk }: SyncedFolder, text: string): Disposable {
  const { list, look, rename, makeDirectory } = disk;
  const isInside = (at: DiskPath) => at.join("/").startsWith(`${text}/`);
  const check = (isLocked: boolean) => {
    if (isLocked) throw Object.assign(new Error("ENOKEY"), { code: "Unknown system error -126" });
  };
  disk.list = async (at) => {
    check(at.join("/") === text);
    return list.call(disk, at);
  };
  disk.look = async (at) => (isInside(at) ? undefined : look.call(disk, at));
  disk.rename = async (from, to, how) => {
    check(isInside(to));
    return rename.call(disk, from, to, how);
  };
  disk.makeDirectory = async (at) => {
    check(isInside(at));
    return makeDirectory.call(disk, at);
  };
  return { [Symbol.dispose]: () => void Object.assign(disk, { list, look, rename, makeDirectory }) };
}

test("others' new directories are not made in what is mounted in the folder", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("sub"));
  await settle(world);
  const { list } = b.disk;
  b.disk.list = async (at) => {
    const entries = await list.call(b.disk, at);
    return entries.map(({ name, stat }) => ({ name, stat: name === "sub" ? { ...stat, dev: 99n } : stat }));
  };
  a.disk.make(path("sub/made"));
  a.disk.write(path("top"), "of a");
  await a.sync();
  const { plan } = await b.sync();
  expect(plan.left.map(({ path: at }) => at.join("/"))).toContain("sub/made");
  expect(Object.fromEntries(b.disk.tree())).toEqual({ sub: "dir", top: "of a" });
  b.disk.list = list;
  expect([...(await settledTree(world)).keys()].sort()).toEqual(["sub", "sub/made", "top"]);
});

test("a locked directory keeps its files, others' changes in it wait, and all else syncs", async () => {
  const { world, a, b } = await twoFolders();
  b.disk.placeAll = undefined;
  for (const each of ["private", "private/sub"]) a.disk.make(path(each));
  for (const each of ["private/tax", "private/will", "private/sub/old"]) a.disk.write(path(each), each);
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.remove(path("private/tax"));
  a.disk.write(path("private/will"), "newer");
  a.disk.make(path("private/made"));
  a.disk.write(path("private/made/new"), "new");
  a.disk.remove(path("private/sub/old"));
  a.disk.write(path("open"), "of a");
  await a.sync();
  const whole = await bucketTree(world.bucket);
  using locked = lock(b, "private");
  b.disk.write(path("mine"), "of b");
  const { applied, plan, local, notSynced } = await b.sync();
  expect(local.map(({ object }) => object.found[0]?.path.join("/"))).toEqual(["mine"]);
  expect(notSynced.unreadable).toEqual([path("private")]);
  expect([...plan.left, ...applied.left].map(({ path: at, reason }) => `${at.join("/")}: ${reason}`).sort()).toEqual([
    "private/made/new: in the way",
    "private/made: in the way",
    "private/sub/old: in the way",
    "private/sub: in the way",
    "private/tax: in the way",
    "private/will: in the way",
    "private: in the way",
  ]);
  expect(b.disk.tree().get("open")).toBe("of a");
  expect(b.disk.tree().get("private/tax")).toBe("private/tax");
  locked[Symbol.dispose]();
  expect(await settledTree(world)).toEqual(new Map([...whole, ["mine", "of b"]]));
});

test("a directory that lies in itself ends the first pass with an error; a later one leaves only its inner name out", async () => {
  const world = await syncWorld(2);
  const [before, after] = pair(world);
  before.disk.write(path("mine"), "mine");
  await before.sync();
  const attacker = await Attacker.start(world.remote, 7);
  await attacker.publish(cyclicRows());
  await expect(after.sync()).rejects.toMatchObject({ code: "format_invalid" });
  await before.sync();
  const { applied } = await before.sync();
  expect(applied.left).toMatchObject([{ path: path("d/again"), reason: "in the way" }]);
  expect(Object.fromEntries(before.disk.tree())).toEqual({ mine: "mine", d: "dir" });
});
