/** What a killed run brought, where no log tells of it: after a power cut, and on systems other than Linux. */
import { expect, test } from "vitest";
import { bucketTree, killed, path, settle, type SyncedFolder, twoFolders } from "../../../support/sync-world.ts";

test("a run that is killed at any moment brings directories whose attributes stay the same for everyone", async () => {
  for (let change = 0, isKilled = true; isKilled; change++) {
    const { world, a, b } = await twoFolders();
    for (const directory of ["d", "d/e"]) a.disk.make(path(directory));
    for (const file of ["c", "d/x", "d/e/y"]) a.disk.write(path(file), file);
    await a.disk.setXattrs(path("d"), new Map([["user.tag", Buffer.from("1")]]));
    a.disk.chmod(path("d/e"), 0o750);
    await a.sync();
    const [whole, made] = [await bucketTree(world.bucket), await attributes(a)];
    b.disk.boot = undefined;
    isKilled = await killed(b, change);
    await settle(world);
    for (const folder of [a, b]) expect([folder.disk.tree(), await attributes(folder)]).toEqual([whole, made]);
  }
});

async function attributes({ disk }: SyncedFolder) {
  const looks = await Promise.all(["d", "d/e"].map((each) => disk.look(path(each))));
  const modes = looks.map((look) => look?.mode.toString(8));
  return [...modes, ...(await disk.xattrs(path("d"))).keys()];
}

test("a directory that was moved to where others made one stays the moved one", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("d"));
  a.disk.chmod(path("d"), 0o700);
  a.disk.write(path("d/x"), "x");
  await settle(world);
  a.disk.make(path("e"));
  await a.sync();
  // It learns of the new directory, and dies.
  await killed(b, 0);
  b.disk.move(path("d"), path("e"));
  await settle(world);
  const whole = Object.fromEntries(b.disk.tree());
  expect(Object.values(whole)).toContain("x");
  expect(whole).not.toHaveProperty("d");
  expect(Object.fromEntries(a.disk.tree())).toEqual(whole);
});
