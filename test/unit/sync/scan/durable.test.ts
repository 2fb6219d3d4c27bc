/** What is published from a folder is durable there first: after a power failure nothing that was emptied counts as changed. */
import { expect, test } from "vitest";
import { makeNamesDurable } from "../../../../src/sync/scan/durable.ts";
import { bucketTree, path, settle, type SyncedFolder, twoFolders } from "../../../support/sync-world.ts";

/** Paths that were made durable, in turn; the names of the failures that this meets. */
function watched({ disk }: SyncedFolder, failure?: string): string[] {
  const synced: string[] = [];
  const read = disk.read.bind(disk);
  disk.read = async (at) => {
    const file = await read(at);
    const sync = async () => {
      if (failure !== undefined) throw Object.assign(new Error(failure), { code: failure });
      synced.push(at.join("/"));
    };
    return { ...file, sync };
  };
  return synced;
}

test("saved files are durable before they are published, and only those are synced to disk", async () => {
  const { world, a, b } = await twoFolders();
  for (const each of ["old", "edited"]) a.disk.write(path(each), `first ${each}`);
  await settle(world);
  b.disk.write(path("of b"), "of b");
  await b.sync();
  a.disk.tick(3_000_000_000n);
  await a.sync();
  const synced = watched(a);
  a.disk.tick(3_000_000_000n);
  for (const each of ["edited", "new"]) a.disk.write(path(each), `second ${each}`);
  let durable: string[] = [];
  world.remote.beforeSwap = async () => void (durable = [...synced]);
  await a.sync();
  expect(durable.sort()).toEqual(["edited", "new"]);
  await a.sync();
  expect(synced.length).toBe(2);
});

test("removed, moved and created names are durable before they are published", async () => {
  const { world, a } = await twoFolders();
  for (const each of ["d", "e", "f"]) a.disk.make(path(each));
  for (const each of ["d/gone", "e/moved"]) a.disk.write(path(each), each);
  await settle(world);
  a.disk.tick(180_000_000_000n);
  a.disk.remove(path("d/gone"));
  a.disk.move(path("e/moved"), path("f/moved"));
  await a.disk.makeSymlink(path("link"), "anywhere");
  const synced = new Set<string>();
  a.disk.syncDirectory = async (at) => void synced.add(at.join("/"));
  let durable: string[] = [];
  world.remote.beforeSwap = async () => void (durable = [...synced]);
  await a.sync();
  expect(durable.sort()).toEqual(["", "d", "e", "f"]);
});

test("files that the system has already written out are not synced again", async () => {
  const { world, a } = await twoFolders();
  const synced = watched(a);
  a.disk.write(path("f"), "text");
  a.disk.tick(180_000_000_000n);
  await settle(world);
  expect(synced).toEqual([]);
});

test.each([
  ["at once where that is supported", undefined, 0],
  ["one by one where it is not", "ENOTSUP", 40],
])("a batch of files is made durable %s", async (_, failure, alone) => {
  const { world, a } = await twoFolders();
  const synced = watched(a);
  let times = 0;
  const syncAll = async () => {
    times++;
    if (failure !== undefined) throw Object.assign(new Error(failure), { code: failure });
  };
  Object.assign(a.disk, { syncAll });
  for (let file = 0; file < 40; file++) a.disk.write(path(`f${file}`), `${file}`);
  await settle(world);
  expect([times, synced.length]).toEqual([1, alone]);
});

test("a file that cannot be synced to disk is published all the same", async () => {
  const { world, a } = await twoFolders();
  watched(a, "EIO");
  a.disk.write(path("f"), "text");
  await settle(world);
  expect(await bucketTree(world.bucket)).toEqual(new Map([["f", "text"]]));
});

test("a dry run syncs nothing to disk", async () => {
  const { a } = await twoFolders();
  await a.sync();
  const synced = watched(a);
  a.disk.write(path("f"), "text");
  await a.dryRun();
  expect(synced).toEqual([]);
});

/** Lets calls on a directory fail. Answers the directories that were synced to disk. */
function broken({ disk }: SyncedFolder, directory: string, ...calls: readonly ("list" | "syncDirectory")[]): string[] {
  const synced: string[] = [];
  const { list } = disk;
  const check = (call: (typeof calls)[number], at: string) => {
    if (at === directory && calls.includes(call)) throw Object.assign(new Error("EIO"), { code: "EIO" });
  };
  disk.list = async (at) => {
    check("list", at.join("/"));
    return list.call(disk, at);
  };
  disk.syncDirectory = async (at) => {
    check("syncDirectory", at.join("/"));
    synced.push(at.join("/"));
  };
  return synced;
}

test.each([
  ["is shut by now is passed over", ["list", "syncDirectory"], undefined, ["open"]],
  ["is not shut is told of", ["syncDirectory"], "EIO", []],
] as const)("a directory that cannot be synced to disk and %s", async (_, calls, failure, expected) => {
  const { a } = await twoFolders();
  for (const each of ["d", "open"]) a.disk.make(path(each));
  const synced = broken(a, "d", ...calls);
  const failed = await makeNamesDurable(a.disk, [path("d"), path("open")]).catch((error) => error.code);
  expect([failed, synced]).toEqual([failure, expected]);
});
