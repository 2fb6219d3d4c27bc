/** What a path-based door keeps of files that another door removes. */
import { expect, test } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { ROOT_INO } from "../../../src/base/ids.ts";
import { nameFromText } from "../../../src/base/names.ts";
import { OpenInodes } from "../../../src/files/open-inodes.ts";
import { CALLER } from "../../../src/simulate/vfs-driver.ts";
import { DoorViews } from "../../../src/vfs/door-views.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const NAME = nameFromText("f");

async function world() {
  const harness = await VfsHarness.create();
  // The empty bucket's blocks are in memory.
  await harness.find("f");
  const views = new DoorViews(harness.vfs);
  const mount = views.open(() => {}).fs;
  mount.watchOrphans(() => {});
  const web = new OpenInodes(views.open().fs, silentLog);
  const { ino } = mount.makeNode(ROOT_INO, NAME, 0o100644, 0, CALLER);
  const remove = () => {
    mount.unlink(ROOT_INO, NAME);
    mount.persist();
    mount.forget(ino);
  };
  const isThere = () => {
    try {
      return harness.vfs.getAttributes(ino).nlink === 0;
    } catch {
      return false;
    }
  };
  return { web, ino, remove, isThere };
}

test("a file that the mount removed is freed although no request comes", async () => {
  const { remove, isThere } = await world();
  remove();
  expect(isThere()).toBe(true);
  await Promise.resolve();
  expect(isThere()).toBe(false);
});

test("a file that the mount removed stays while a request uses it, and no longer", async () => {
  const { web, ino, remove, isThere } = await world();
  const held = web.hold(ino);
  remove();
  await Promise.resolve();
  expect(isThere()).toBe(true);
  held[Symbol.dispose]();
  expect(isThere()).toBe(false);
});
