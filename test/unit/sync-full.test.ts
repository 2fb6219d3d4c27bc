/** A folder's disk that gets full: what has room comes, nothing half-written stays, and the rest comes when there is room. */
import { expect, test } from "vitest";
import type { DiskFile } from "../../src/sync/disk/disk.ts";
import { NEW_PATH } from "../../src/sync/disk/paths.ts";
import { path, settledTree, type SyncedFolder, twoFolders } from "../support/sync-world.ts";

/** No more bytes than so many, whatever is there. */
function limitRoom({ disk }: SyncedFolder, bytes: number): Disposable {
  const create = disk.create.bind(disk);
  const unlink = disk.unlink.bind(disk);
  const sizes = new Map<string, number>();
  disk.create = async (at) => {
    const file: DiskFile = await create(at);
    return Object.assign(Object.create(file) as DiskFile, {
      write: async (offset: number, data: Uint8Array) => {
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

test("what has room is there, half-written files are not, and the rest comes later", async () => {
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

test("on a disk without any room a round ends soon", async () => {
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
