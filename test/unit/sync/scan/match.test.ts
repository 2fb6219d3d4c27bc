/** Which known object a scan takes each file for. */
import { expect, test } from "vitest";
import { bucketTree, path, settle, settledTree, twoFolders } from "../../../support/sync-world.ts";

test("inodes numbered anew at a mount are no change, even if files and directories look alike", async () => {
  const { world, a } = await twoFolders();
  for (const directory of ["c", "d", "e"]) a.disk.make(path(directory));
  for (const file of ["1", "2", "3", "c/x", "d/x", "e/x"]) a.disk.write(path(file), file.padEnd(3, "."));
  await settle(world);
  a.disk.tick(3_000_000_000n);
  const before = await bucketTree(world.bucket);
  a.disk.renumber();
  expect((await a.sync()).local).toEqual([]);
  expect(await bucketTree(world.bucket)).toEqual(before);
  a.disk.tick(3_000_000_000n);
  a.disk.move(path("1"), path("c/1"));
  expect((await a.sync()).local.find(({ action }) => action === "moved")?.object.found[0]?.path).toEqual(path("c/1"));
});

test("a file under another's inode number is published with its own bytes", async () => {
  const { world, a } = await twoFolders();
  a.disk.write(path(".synclineignore"), "/hidden\n");
  for (const file of ["hidden", "gone"]) a.disk.write(path(file), file.padEnd(6, "."));
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.renumber();
  a.disk.remove(path("gone"));
  a.disk.write(path(".synclineignore"), "");
  expect((await settledTree(world)).get("hidden")).toBe("hidden");
});

test("directories that are exchanged while inodes are numbered anew reach the bucket in one pass", async () => {
  const { world, a } = await twoFolders();
  for (const directory of ["a", "c"]) a.disk.make(path(directory));
  for (const file of ["a/x", "b", "c/y", "d"]) a.disk.write(path(file), file.padEnd(3, "."));
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.renumber();
  a.disk.move(path("a"), path("c"), "exchange");
  const pass = await a.sync();
  expect(pass.unstable).toEqual([]);
  expect(await bucketTree(world.bucket)).toEqual(a.disk.tree());
});
