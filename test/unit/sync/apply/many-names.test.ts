/** Files of many hard links. Every change of a name changes the ctime that all of them show. */
import { expect, test, vi } from "vitest";
import type { MemorySyncDisk } from "../../../../src/simulate/folder/memory-sync-disk.ts";
import { BATCH_PLACES } from "../../../../src/sync/apply/put-all.ts";
import type { Entry } from "../../../../src/sync/known/entry.ts";
import { SyncDatabase } from "../../../../src/sync/known/database.ts";
import { path, settle, type SyncedFolder, twoFolders } from "../../../support/sync-world.ts";

const NAMES = Array.from({ length: 60 }, (_, index) => `f${index}.bin`);

/** Two folders; the first has a file of many names. On the other's disk, no two changes happen at one time. */
async function linkedFolders() {
  const { world, a, b } = await twoFolders();
  const [first = "", ...others] = NAMES;
  a.disk.write(path(first), "1");
  for (const name of others) await a.disk.link(path(first), path(name));
  await a.sync();
  ticking(b.disk);
  return { world, a, b, first };
}

function ticking(disk: MemorySyncDisk): void {
  for (const call of ["link", "unlink", "rename", "setMode", "setModified"] as const) {
    const real = disk[call].bind(disk) as (...given: unknown[]) => Promise<void>;
    const slow = (...given: unknown[]) => {
      disk.tick(1_000n);
      return real(...given);
    };
    Object.assign(disk, { [call]: slow });
  }
}

/** The inodes of all names. */
async function inodes({ disk }: SyncedFolder): Promise<Set<bigint | undefined>> {
  return new Set(await Promise.all(NAMES.map(async (name) => (await disk.look(path(name)))?.ino)));
}

test("names arrive in one pass, and each costs the same however many there are", async () => {
  const { a, b } = await linkedFolders();
  const look = vi.spyOn(b.disk, "look");
  expect((await b.sync()).applied.files).toBe(NAMES.length);
  expect(look.mock.calls.length).toBeLessThan(15 * NAMES.length);
  expect(b.disk.tree()).toEqual(a.disk.tree());
  expect((await inodes(b)).size).toBe(1);
  expect((await b.sync()).applied.files).toBe(0);
});

test("a new hard link arrives without reading the names that are already known", async () => {
  const { a, b, first } = await linkedFolders();
  await b.sync();
  a.disk.tick();
  for (let added = 0; added < 20; added++) await a.disk.link(path(first), path(`added${added}.bin`));
  await a.sync();
  const byId = vi.spyOn(SyncDatabase.prototype, "byId");
  expect((await b.sync()).applied.files).toBe(20);
  const read = byId.mock.results.reduce((sum, { value }) => sum + (value as Entry[]).length, 0);
  byId.mockRestore();
  expect(read).toBeLessThan(3 * NAMES.length);
  expect(b.disk.tree()).toEqual(a.disk.tree());
});

test("an edit arrives in one pass, under all names, and is written once", async () => {
  const { a, b, first } = await linkedFolders();
  await b.sync();
  a.disk.tick();
  a.disk.write(path(first), "22");
  await a.sync();
  const create = vi.spyOn(b.disk, "create");
  expect((await b.sync()).applied.files).toBe(NAMES.length);
  expect(create).toHaveBeenCalledOnce();
  expect(b.disk.tree()).toEqual(a.disk.tree());
  expect((await inodes(b)).size).toBe(1);
  expect((await b.sync()).applied.files).toBe(0);
});

test("new attributes arrive in one pass", async () => {
  const { a, b, first } = await linkedFolders();
  await b.sync();
  a.disk.tick();
  await a.disk.setMode(path(first), 0o600);
  await a.sync();
  await b.sync();
  expect((await b.disk.look(path(first)))?.mode).toBe(0o600);
  expect((await inodes(b)).size).toBe(1);
  expect((await b.sync()).applied.files).toBe(0);
});

test("a program's chmod while names arrive is published", async () => {
  const { world, a, b, first } = await linkedFolders();
  const link = b.disk.link.bind(b.disk);
  let links = 0;
  b.disk.link = async (...given) => {
    await link(...given);
    if (++links === NAMES.length / 2) b.disk.chmod(path(first), 0o640);
  };
  await b.sync();
  await settle(world);
  expect((await a.disk.look(path(first)))?.mode).toBe(0o640);
  expect((await inodes(b)).size).toBe(1);
});

test("names that leave cost the same however many there are", async () => {
  const { a, b } = await linkedFolders();
  await b.sync();
  for (const name of NAMES.slice(1)) a.disk.remove(path(name));
  await a.sync();
  const look = vi.spyOn(b.disk, "look");
  await b.sync();
  expect(b.disk.tree()).toEqual(a.disk.tree());
  expect(look.mock.calls.length).toBeLessThan(15 * NAMES.length);
  expect((await b.sync()).applied.files).toBe(0);
});

test("names of several batches leave in one pass", async () => {
  const { a, b } = await twoFolders();
  const names = Array.from({ length: BATCH_PLACES + 2 }, (_, index) => `f${index}.bin`);
  a.disk.write(path("f0.bin"), "1");
  for (const name of names.slice(1)) await a.disk.link(path("f0.bin"), path(name));
  await a.sync();
  ticking(b.disk);
  await b.sync();
  for (const name of names.slice(1)) a.disk.remove(path(name));
  await a.sync();
  const { held } = await b.sync();
  const { applied } = await b.sync({ allowDeletes: held?.digest });
  expect(applied.removed).toBe(names.length - 1);
});
