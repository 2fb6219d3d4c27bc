/** Attributes that somebody set in the folder: others' changes do not undo them. */
import { expect, test } from "vitest";
import { path, settle, type SyncedFolder, twoFolders } from "../../../support/sync-world.ts";

/** Both folders have a directory and a file. */
async function settled() {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("d"));
  a.disk.write(path("f"), "text");
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  return { world, a, b };
}

async function modeOf({ disk }: SyncedFolder, at: string): Promise<string | undefined> {
  return (await disk.look(path(at)))?.mode.toString(8);
}

async function keysOf({ disk }: SyncedFolder, at: string): Promise<string[]> {
  return [...(await disk.xattrs(path(at))).keys()];
}

test("a directory keeps its setgid bit when others add a file to it", async () => {
  const { world, a, b } = await settled();
  b.disk.chmod(path("d"), 0o2775);
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.write(path("d/new"), "new");
  await a.sync();
  await b.sync();
  expect(b.disk.tree().get("d/new")).toBe("new");
  expect([await modeOf(a, "d"), await modeOf(b, "d")]).toEqual(["775", "2775"]);
});

test("a file keeps its setuid and setgid bits when others change its permissions", async () => {
  const { world, a, b } = await settled();
  b.disk.chmod(path("f"), 0o6755);
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.chmod(path("f"), 0o700);
  await a.sync();
  await b.sync();
  expect([await modeOf(a, "f"), await modeOf(b, "f")]).toEqual(["700", "6700"]);
});

test("a file that gets another owner from others loses its setuid and setgid bits", async () => {
  const { world, a, b } = await settled();
  const attention = { modeMask: 0o1777, owners: true };
  const syncOne = (folder: SyncedFolder) => folder.sync({ attention });
  b.disk.chmod(path("f"), 0o6755);
  await settle(world, syncOne);
  a.disk.tick(3_000_000_000n);
  await a.disk.setOwner(path("f"), 7, 7);
  await syncOne(a);
  await syncOne(b);
  expect([(await b.disk.look(path("f")))?.uid, await modeOf(b, "f")]).toEqual([7, "755"]);
});

test("a new directory keeps the setgid bit that it gets from the directory above", async () => {
  const { a, b } = await settled();
  const make = b.disk.makeDirectory.bind(b.disk);
  b.disk.makeDirectory = async (at) => {
    await make(at);
    b.disk.chmod(at, 0o2700);
  };
  a.disk.make(path("d/e"));
  await a.sync();
  expect((await b.sync()).applied.left).toEqual([]);
  expect(await modeOf(b, "d/e")).toBe("2755");
});

test("a directory's attributes that are set after the scan survive, and are published", async () => {
  const { world, a, b } = await settled();
  a.disk.write(path("d/new"), "new");
  await a.sync();
  let isSet = false;
  b.disk.before = () => {
    if (isSet || !b.hasScanned) return;
    isSet = true;
    b.disk.tick();
    b.disk.chmod(path("d"), 0o700);
    void b.disk.setXattrs(path("d"), new Map([["user.mine", new Uint8Array([1])]]));
  };
  await b.sync();
  expect(isSet).toBe(true);
  await settle(world);
  expect(b.disk.tree().get("d/new")).toBe("new");
  for (const folder of [a, b])
    expect([await modeOf(folder, "d"), await keysOf(folder, "d")]).toEqual(["700", ["user.mine"]]);
});

test("extended attributes that a new directory gets from the one above are no local change", async () => {
  const { a, b } = await settled();
  const make = b.disk.makeDirectory.bind(b.disk);
  b.disk.makeDirectory = async (at) => {
    await make(at);
    await b.disk.setXattrs(at, new Map([["user.inherited", new Uint8Array([1])]]));
  };
  a.disk.make(path("d/e"));
  await a.sync();
  expect((await b.sync()).applied.left).toEqual([]);
  expect([await modeOf(b, "d/e"), await keysOf(b, "d/e")]).toEqual(["755", []]);
});
