/** A folder's disk that gets full: what has room comes, nothing half-written stays, and the rest comes when there is room. */
import { expect, test } from "vitest";
import type { DiskFile } from "../../../src/sync/disk/disk.ts";
import { NEW_PATH } from "../../../src/sync/disk/paths.ts";
import { path, settle, settledTree, type SyncedFolder, twoFolders } from "../../support/sync-world.ts";

/** No more bytes than so many, whatever is there. */
function limitRoom({ disk }: SyncedFolder, bytes: number): Disposable {
  const create = disk.create.bind(disk);
  const unlink = disk.unlink.bind(disk);
  const sizes = new Map<string, number>();
  disk.create = async (at) => {
    const file: DiskFile = await create(at);
    return Object.assign(Object.create(file) as DiskFile, {
      write: async (offset: number, ...parts: Uint8Array[]) => {
        const data = Buffer.concat(parts);
        const used = [...sizes.values()].reduce((sum, size) => sum + size, 0);
        if (used + data.length > bytes) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
        sizes.set(at.join("/"), offset + data.length);
        await file.write(offset, data);
      },
    });
  };
  disk.unlink = async (at) => {
    await unlink(at);
    sizes.delete(at.join("/"));
  };
  return { [Symbol.dispose]: () => void Object.assign(disk, { create, unlink }) };
}

test("files that fit arrive, no partial file stays, and the rest arrives once there is room", async () => {
  const { world, a, b } = await twoFolders();
  for (const [name, size] of [
    ["1", 300],
    ["2", 5_000],
    ["3", 400],
    ["4", 6_000],
    ["5", 200],
  ] as const)
    a.disk.write(path(name), name.repeat(size));
  await a.sync();
  const room = limitRoom(b, 1_200);
  await expect(b.sync()).rejects.toMatchObject({ code: "ENOSPC" });
  expect([...b.disk.tree().keys()].sort()).toEqual(["1", "3", "5"]);
  expect((await b.disk.list(NEW_PATH)).map(({ stat }) => stat.size).filter((size) => size >= 200)).toEqual([]);
  room[Symbol.dispose]();
  expect((await settledTree(world)).size).toBe(5);
});

test("a pass ends early on a disk without any room", async () => {
  const { world, a, b } = await twoFolders();
  for (let each = 0; each < 100; each++) a.disk.write(path(`${each}`), `${each}`.repeat(100));
  await a.sync();
  using room = limitRoom(b, 0);
  let made = 0;
  const { create } = b.disk;
  b.disk.create = async (at) => {
    made++;
    return create(at);
  };
  await expect(b.sync()).rejects.toMatchObject({ code: "ENOSPC" });
  expect(made).toBeLessThan(40);
  expect(b.disk.tree().size).toBe(0);
  room[Symbol.dispose]();
  expect((await settledTree(world)).size).toBe(100);
});

/** None for files that are larger. */
function noRoomFor({ disk }: SyncedFolder, bytes: number): Disposable {
  const create = disk.create.bind(disk);
  disk.create = async (at) => {
    const file = await create(at);
    const write: DiskFile["write"] = async (offset, ...parts) => {
      const data = Buffer.concat(parts);
      if (offset + data.length > bytes) throw full();
      await file.write(offset, data);
    };
    return Object.assign(Object.create(file) as DiskFile, { write });
  };
  return { [Symbol.dispose]: () => void Object.assign(disk, { create }) };
}

function full(): Error {
  return Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
}

test("deletions still happen, a replacement without room leaves the old file, and directories are completed", async () => {
  const { world, a, b } = await twoFolders();
  for (const name of ["old", "replaced"]) a.disk.write(path(name), name);
  await settle(world);
  a.disk.tick(3_000_000_000n);
  for (const name of ["old", "replaced"]) a.disk.remove(path(name));
  a.disk.make(path("d"));
  a.disk.write(path("d/small"), "small");
  for (const name of ["d/big", "replaced"]) a.disk.write(path(name), "b".repeat(5_000));
  await a.sync();
  const room = noRoomFor(b, 1_000);
  for (let pass = 0; pass < 2; pass++) await expect(b.sync()).rejects.toMatchObject({ code: "ENOSPC" });
  expect(Object.fromEntries(b.disk.tree())).toEqual({ replaced: "replaced", d: "dir", "d/small": "small" });
  expect((await b.disk.look(path("d")))?.mode).toBe((await a.disk.look(path("d")))?.mode);
  room[Symbol.dispose]();
  expect((await settledTree(world)).size).toBe(4);
});

test("files placed before the disk filled up count as arrived", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("1"), "first");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  for (const name of ["1", "2"]) a.disk.write(path(name), "version two");
  a.disk.write(path("big"), "b".repeat(5_000));
  await a.sync();
  const room = noRoomFor(b, 1_000);
  const sync = b.disk.syncDirectory.bind(b.disk);
  let failed = 0;
  b.disk.syncDirectory = async (at) => {
    if (failed++ === 0 && at.length === 0) throw full();
    return sync(at);
  };
  await expect(b.sync()).rejects.toMatchObject({ code: "ENOSPC" });
  room[Symbol.dispose]();
  b.disk.tick(3_000_000_000n);
  // Somebody saw them there.
  for (const [name, text] of b.disk.tree()) if (text === "version two") b.disk.write(path(name), "made of version two");
  expect([...b.disk.tree().values()]).toContain("made of version two");
  expect([...(await settledTree(world)).keys()].sort()).toEqual(["1", "2", "big"]);
});

test("a temporary file is removed when there is no room for its name", async () => {
  const { a, b } = await twoFolders();
  for (const name of ["1", "2", "3"]) a.disk.write(path(name), name.repeat(500));
  await a.sync();
  b.disk.placeAll = undefined;
  const rename = b.disk.rename.bind(b.disk);
  b.disk.rename = async (from, to, how) => {
    if (to.length === 1) throw full();
    return rename(from, to, how);
  };
  await expect(b.sync()).rejects.toMatchObject({ code: "ENOSPC" });
  expect((await b.disk.list(NEW_PATH)).filter(({ stat }) => stat.size === 500)).toEqual([]);
});
