/**
 * Edits between the scan and the work on the folder that keep the file's size and mtime, as some tag editors and containers
 * do: only the ctime tells.
 */
import { expect, test } from "vitest";
import type { MemorySyncDisk } from "../../../../src/simulate/folder/memory-sync-disk.ts";
import { path, settle, settledTree, type SyncedFolder, twoFolders } from "../../../support/sync-world.ts";

const OLD = "old text";
const MINE = "my  text";

/** Runs a pass during which somebody edits a file right after the scan, and sets its old mtime again. */
async function editedAfterScan(folder: SyncedFolder, at: string): Promise<void> {
  const { disk } = folder;
  const before = await disk.look(path(at));
  if (before === undefined) throw new Error(`${at} is not there.`);
  let isEdited = false;
  const applying = () => {
    disk.tick();
    disk.write(path(at), MINE);
    void disk.setModified(path(at), before.mtimeNs);
    isEdited = true;
    disk.tick(3_000_000_000n);
  };
  await folder.sync({ progress: { applying } });
  expect(isEdited).toBe(true);
}

test.each<[string, string, (disk: MemorySyncDisk) => void, readonly string[]]>([
  [
    "moved and edited it",
    "f.bin",
    (disk) => {
      disk.move(path("f.bin"), path("d/g.bin"));
      disk.write(path("d/g.bin"), "newer text of others");
    },
    ["newer text of others"],
  ],
  ["renamed it", "f.bin", (disk) => disk.move(path("f.bin"), path("g.bin")), []],
  ["exchanged it with another", "f.bin", (disk) => disk.move(path("f.bin"), path("d/x.bin"), "exchange"), [OLD]],
  [
    "replaced it by a directory",
    "f.bin",
    (disk) => {
      disk.remove(path("f.bin"));
      disk.make(path("f.bin"));
      disk.write(path("f.bin/new.bin"), "new");
    },
    ["new"],
  ],
  [
    "replaced its directory by a file",
    "d/x.bin",
    (disk) => {
      disk.remove(path("d"));
      disk.write(path("d"), "new");
    },
    ["new"],
  ],
])("an edit that keeps size and mtime survives although others %s", async (_, edited, change, theirs) => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("d"));
  for (const name of ["f.bin", "d/x.bin"]) a.disk.write(path(name), OLD);
  await settle(world);
  a.disk.tick(3_000_000_000n);
  change(a.disk);
  await a.sync();
  await editedAfterScan(b, edited);
  const texts = [...(await settledTree(world)).values()];
  expect(texts).toEqual(expect.arrayContaining([MINE, ...theirs]));
});

test("a second save within one tick of the clock survives a rename by others", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("f.bin"), OLD);
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.move(path("f.bin"), path("g.bin"));
  await a.sync();
  b.disk.write(path("f.bin"), "1st save");
  const saved = await b.disk.look(path("f.bin"));
  const tick = b.disk.tick.bind(b.disk);
  b.disk.tick = () => {};
  await b.sync({
    progress: {
      applying: () => {
        b.disk.write(path("f.bin"), "2nd save");
        b.disk.tick = tick;
        b.disk.tick(3_000_000_000n);
      },
    },
  });
  expect((await b.disk.look(path("g.bin")))?.mtimeNs).toBe(saved?.mtimeNs);
  expect(Object.fromEntries(await settledTree(world))).toEqual({ "g.bin": "2nd save" });
});

test("where a disk has no hard links, an edit of one name survives the removal of another", async () => {
  const { world, a, b } = await twoFolders();
  b.disk.link = () => Promise.reject(Object.assign(new Error("ENOTSUP"), { code: "ENOTSUP" }));
  a.disk.write(path("x.bin"), OLD);
  await a.disk.link(path("x.bin"), path("y.bin"));
  await settle(world);
  expect((await b.disk.look(path("y.bin")))?.ino).not.toBe((await b.disk.look(path("x.bin")))?.ino);
  a.disk.tick(3_000_000_000n);
  a.disk.remove(path("x.bin"));
  await a.sync();
  await editedAfterScan(b, "y.bin");
  expect([...(await settledTree(world)).values()]).toEqual([MINE]);
});
