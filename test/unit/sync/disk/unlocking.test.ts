/** Directories that their owner may not write in, in which others' changes still arrive. */
import { expect, test } from "vitest";
import type { DiskPath } from "../../../../src/sync/disk/disk.ts";
import { unlocking } from "../../../../src/sync/disk/unlocking.ts";
import { killed, path, settle, type SyncedFolder, twoFolders } from "../../../support/sync-world.ts";

/** Gives a folder a disk that heeds the modes of directories, as for a user who is not root. */
function strict({ disk }: SyncedFolder): void {
  const { look, rename, unlink, makeDirectory } = disk;
  const check = async (...paths: readonly DiskPath[]) => {
    for (const at of paths)
      if (((await look.call(disk, at.slice(0, -1)))?.mode ?? 0o700) % 0o1000 < 0o600)
        throw Object.assign(new Error("EACCES"), { code: "EACCES" });
  };
  disk.placeAll = undefined;
  disk.look = async (at) => {
    const stat = await look.call(disk, at);
    return stat && { ...stat, uid: process.geteuid?.() ?? 0 };
  };
  disk.rename = async (from, to, how) => {
    await check(from, to);
    return rename.call(disk, from, to, how);
  };
  disk.unlink = async (at) => {
    await check(at);
    return unlink.call(disk, at);
  };
  disk.makeDirectory = async (at) => {
    await check(at);
    return makeDirectory.call(disk, at);
  };
  unlocking(disk);
}

test.runIf(process.geteuid !== undefined)(
  "a read-only directory keeps its mode, wherever the process dies while others' changes arrive in it",
  async () => {
    let died = 0;
    for (let change = 0, reached = true; reached; change++) {
      const { world, a, b } = await twoFolders();
      a.disk.make(path("d"));
      for (const each of ["d/gone", "d/moved"]) a.disk.write(path(each), each);
      a.disk.chmod(path("d"), 0o555);
      await settle(world);
      strict(b);
      a.disk.tick(3_000_000_000n);
      a.disk.remove(path("d/gone"));
      a.disk.move(path("d/moved"), path("moved"));
      a.disk.write(path("d/new"), "new");
      await a.sync();
      reached = await killed(b, change);
      if (reached) died++;
      const { local } = await b.sync();
      expect(local.map(({ action, changed }) => [action, changed.record?.mode.toString(8)])).toEqual([]);
      expect((await b.disk.look(path("d")))?.mode).toBe(0o555);
      await settle(world);
      expect((await a.disk.look(path("d")))?.mode).toBe(0o555);
      expect(Object.fromEntries(b.disk.tree())).toEqual({ d: "dir", "d/new": "new", moved: "d/moved" });
      expect((await b.disk.list(path(".syncline"))).map(({ name }) => name).sort()).toEqual([
        "folder.json",
        "new",
        "parked",
      ]);
    }
    expect(died).toBeGreaterThan(10);
  },
);
