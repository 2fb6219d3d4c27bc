/** Unpublished files below some paths. */
import { expect, test } from "vitest";
import type { Cid } from "../../../src/base/ids.ts";
import { nameFromText } from "../../../src/base/names.ts";
import { silentLog } from "../../../src/base/log.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { SimulatedDisk } from "../../../src/simulate/disks/simulated-disk.ts";
import { VfsDriver } from "../../../src/simulate/vfs-driver.ts";
import { forgetContents } from "../../../src/vfs/forget-contents.ts";
import { openWithObjects } from "../../../src/vfs/open-vfs.ts";
import { unpublishedBelow } from "../../../src/vfs/unpublished.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const path = (text: string) => text.split("/").filter(Boolean).map(nameFromText);
const LONG = "long ".repeat(1_000);

/** A filesystem that has read nothing of what others published. */
async function world() {
  const others = await VfsHarness.create();
  await others.makeDirectory("d");
  await others.makeDirectory("d/e");
  await others.make("d/e/f", LONG);
  await others.make("d/g", `g${LONG}`);
  await others.make("other", "other");
  await others.publish();
  const { root, blocks } = others;
  const clock = new ManualClock();
  const { vfs, objects } = openWithObjects({ storage: new SimulatedDisk(), blocks, clock, base: root, log: silentLog });
  const below = (...paths: string[]) => unpublishedBelow(objects, paths.map(path));
  return { fs: new VfsDriver(vfs), objects, below };
}

test("new and changed files count for each directory above them, with their unpublished bytes", async () => {
  const { fs, below } = await world();
  expect(await below("", "d")).toEqual({ files: 0, bytes: 0, changed: [], absent: [] });
  await fs.write(await fs.ino("d/e/f"), 5, "new");
  await fs.make("d/e/h", "four");
  await fs.make("other-new", "bytes");
  expect(await below("d/e")).toMatchObject({ files: 2, bytes: 7, absent: [] });
  expect(await below("d", "d/e")).toMatchObject({ files: 2, bytes: 7 });
  expect(await below("d/e/h")).toMatchObject({ files: 1, bytes: 4 });
  expect(await below("")).toMatchObject({ files: 3, bytes: 12 });
  expect(await below("d/g")).toMatchObject({ files: 0, bytes: 0 });
  expect(await below("d/none", "other/none", "none/none")).toMatchObject({
    files: 0,
    absent: [path("d/none"), path("other/none"), path("none/none")],
  });
});

test("a moved file counts where it is now, a removed one nowhere, and both are among the changed", async () => {
  const { fs, below } = await world();
  const { changed: none } = await below("");
  expect(none).toEqual([]);
  await fs.rename("d/g", "g");
  await fs.unlink("other");
  expect(await below("d")).toMatchObject({ files: 0 });
  expect(await below("g")).toMatchObject({ files: 1, bytes: 0 });
  // Directories whose entries changed may be among them.
  expect((await below("d")).changed.length).toBeGreaterThanOrEqual(2);
  await fs.rename("d", "moved");
  expect(await below("moved/e")).toMatchObject({ files: 0, absent: [] });
  expect(await below("d/e")).toMatchObject({ absent: [path("d/e")] });
  await fs.write(await fs.ino("moved/e/f"), 0, "x");
  expect(await below("moved")).toMatchObject({ files: 1, bytes: 1 });
});

test("dropped contents are read again, and only inodes that are unchanged here are returned for the kernel", async () => {
  const { fs, objects, below } = await world();
  const [f, g] = [await fs.ino("d/e/f"), await fs.ino("d/g")];
  expect(await fs.read(f, 0, 4)).toEqual(Buffer.from("long"));
  const ids = [f, g].flatMap((ino) => objects.overlay.state.inodes.row(ino)?.id ?? []);
  const chunk = objects.contentName(f).name as Cid;
  expect(objects.loader.content.peekChunk(chunk)).toBeDefined();
  const before = objects.loader.content.heldBytes;
  await fs.write(g, 0, "new");
  expect(forgetContents(objects, ids, [chunk, chunk])).toEqual([f]);
  expect(objects.loader.content.peekChunk(chunk)).toBeUndefined();
  expect(objects.loader.content.heldBytes).toBeLessThan(before);
  expect(await fs.read(f, 0, 4)).toEqual(Buffer.from("long"));
  expect((await below("")).files).toBe(1);
});
