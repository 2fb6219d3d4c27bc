/** What somebody saves in the very moment in which a newer version takes the place of a file: it is there afterwards, whatever happens then. */
import { expect, test } from "vitest";
import { systemFailure } from "../../../src/base/system-errors.ts";
import { NEW_PATH } from "../../../src/sync/disk/paths.ts";
import { Crash } from "../../../src/simulate/folder/memory-sync-disk.ts";
import { path, settle, settledTree, type SyncedFolder, twoFolders } from "../../support/sync-world.ts";

/** `b` is about to show a newer version of a file. */
async function replacing() {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("d"));
  a.disk.write(path("d/f.bin"), "old");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.save(path("d/f.bin"), "of a");
  await a.sync();
  b.disk.tick(3_000_000_000n);
  return { world, a, b };
}

/** Somebody's actions just before the first exchange, the second and so on; the process dies behind the last where it is to. */
async function amid(folder: SyncedFolder, actions: readonly (() => void)[], dies = false): Promise<void> {
  const { disk } = folder;
  const rename = disk.rename.bind(disk);
  let exchanges = 0;
  disk.rename = async (from, to, how) => {
    if (how === "exchange") actions[exchanges++]?.();
    await rename(from, to, how);
    if (dies && exchanges === actions.length) throw new Crash("The process died.");
  };
  const failure = await folder.sync().then(
    () => undefined,
    (error: unknown) => (error instanceof Crash ? error : Promise.reject(error as Error)),
  );
  disk.rename = rename;
  expect(failure instanceof Crash).toBe(dies);
  expect(exchanges).toBeGreaterThanOrEqual(actions.length);
  disk.tick(3_000_000_000n);
}

test.each([
  ["by rename", (b: SyncedFolder) => b.disk.save(path("d/f.bin"), "of b")],
  ["in place", (b: SyncedFolder) => b.disk.write(path("d/f.bin"), "of b")],
])("a save %s, just before a newer version replaces the file, survives a crash right after", async (_, save) => {
  const { world, b } = await replacing();
  await amid(b, [() => save(b)], true);
  const whole = await settledTree(world);
  expect([...whole.values()].sort()).toEqual(["dir", "of a", "of b"]);
  // Beside the other one, not anywhere.
  expect([...whole.keys()].every((each) => each.startsWith("d"))).toBe(true);
});

test("a directory put in the file's place just before the replacement survives a crash", async () => {
  const { world, b } = await replacing();
  await amid(
    b,
    [
      () => {
        b.disk.remove(path("d/f.bin"));
        b.disk.make(path("d/f.bin"));
        b.disk.write(path("d/f.bin/g.bin"), "of b");
      },
    ],
    true,
  );
  expect([...(await settledTree(world)).values()].sort()).toEqual(["dir", "dir", "of a", "of b"]);
});

test("a save just before the replacement survives a crash, even if its directory is removed afterwards", async () => {
  const { world, b } = await replacing();
  await amid(b, [() => b.disk.save(path("d/f.bin"), "of b")], true);
  b.disk.remove(path("d"));
  expect([...(await settledTree(world)).values()]).toContain("of b");
});

test("two saves, one before the exchange and one before it is undone, both survive", async () => {
  const { world, b } = await replacing();
  await amid(b, [() => b.disk.save(path("d/f.bin"), "of b"), () => b.disk.save(path("d/f.bin"), "of b, too")]);
  expect([...(await settledTree(world)).values()].sort()).toEqual(["dir", "of a", "of b", "of b, too"]);
});

test("a save before the exchange survives even if nothing is in that place when it is undone", async () => {
  const { world, b } = await replacing();
  await amid(b, [() => b.disk.save(path("d/f.bin"), "of b"), () => b.disk.move(path("d/f.bin"), path("d/f.bin~"))]);
  expect([...(await settledTree(world)).values()]).toEqual(expect.arrayContaining(["of a", "of b"]));
});

test("a run that dies anywhere while replacing untouched files leaves no other version and no temporary file", async () => {
  for (let budget = 0, isDead = true; isDead; budget++) {
    const { world, a, b } = await replacing();
    b.disk.budget = budget;
    isDead = await b.sync().then(
      () => false,
      () => true,
    );
    b.disk.budget = undefined;
    expect(await settledTree(world)).toEqual(
      new Map([
        ["d", "dir"],
        ["d/f.bin", "of a"],
      ]),
    );
    for (const { disk } of [a, b]) expect(await disk.list(NEW_PATH)).toEqual([]);
  }
});

test("a file that the disk refuses to replace leaves no temporary file", async () => {
  const { b } = await replacing();
  const { disk } = b;
  const rename = disk.rename.bind(disk);
  disk.rename = async (from, to, how) => {
    if (how === "exchange") throw systemFailure("EPERM", "d/f.bin");
    await rename(from, to, how);
  };
  const { applied } = await b.sync();
  expect(applied.left).toMatchObject([{ path: path("d/f.bin"), reason: "in the way" }]);
  expect(await disk.list(NEW_PATH)).toEqual([]);
});
