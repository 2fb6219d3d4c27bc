/** Files that a program moves or removes after the scan, before others' moves of them are shown. */
import { expect, test } from "vitest";
import { path, settle, settledTree, type SyncedFolder, twoFolders } from "../../../support/sync-world.ts";

/** `a` has renamed a file of two names; `b` has not seen it yet. */
async function renamed() {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("x"), "old");
  await a.disk.link(path("x"), path("y"));
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  a.disk.move(path("x"), path("x of a"));
  a.disk.move(path("y"), path("y of a"));
  await a.sync();
  return { world, a, b };
}

/** Syncs the folder. Somebody acts right before a path is looked at. */
async function amid(folder: SyncedFolder, at: string, act: () => void): Promise<void> {
  const { disk } = folder;
  const { look } = disk;
  let hasActed = false;
  disk.look = async (each) => {
    if (!hasActed && each.join("/") === at) {
      hasActed = true;
      disk.tick();
      act();
    }
    return look.call(disk, each);
  };
  await folder.sync();
  disk.look = look;
  expect(hasActed).toBe(true);
}

test("a file whose names were moved just before they were to be removed stays the same file", async () => {
  const { world, a, b } = await renamed();
  await amid(b, "x of a", () => {
    b.disk.move(path("x"), path("x of b"));
    b.disk.move(path("y"), path("y of b"));
  });
  a.disk.write(path("x of a"), "new");
  const whole = await settledTree(world);
  expect(new Set(whole.values())).toEqual(new Set(["new"]));
  for (const { disk } of [a, b]) {
    const looks = await Promise.all([...whole.keys()].map((name) => disk.look(path(name))));
    expect(new Set(looks.map((look) => look?.ino)).size).toBe(1);
  }
});

test("a file that was removed here and renamed elsewhere comes back under its new names", async () => {
  const { world, b } = await renamed();
  await amid(b, "x of a", () => {
    b.disk.remove(path("x"));
    b.disk.remove(path("y"));
  });
  expect([...(await settledTree(world)).keys()].sort()).toEqual(["x of a", "y of a"]);
});
