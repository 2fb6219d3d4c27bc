/** Data files that are open: what was forgotten is synced if it is asked for, and does not stay open. */
import { expect, test } from "vitest";
import { OpenDataFiles } from "../../../../src/overlay/data/open-files.ts";
import type { Folder, StoredFile } from "../../../../src/overlay/disk/storage.ts";
import { SimulatedDisk } from "../../../../src/simulate/disks/simulated-disk.ts";

/** Counts the files that are open. */
class CountingDisk extends SimulatedDisk {
  open = 0;
  syncs = 0;

  override openFile(folder: Folder, name: string, create: boolean): StoredFile | undefined {
    const file = super.openFile(folder, name, create);
    if (file === undefined) return undefined;
    this.open++;
    return {
      size: () => file.size(),
      read: (offset, target) => file.read(offset, target),
      write: (offset, bytes) => file.write(offset, bytes),
      sync: async () => {
        this.syncs++;
        await file.sync();
      },
      syncNow: () => {
        this.syncs++;
        file.syncNow();
      },
      close: () => {
        this.open--;
        file.close();
      },
    };
  }
}

function forgotten() {
  const disk = new CountingDisk();
  const files = new OpenDataFiles(disk, 8);
  files.file("7.1").write(0, Buffer.from("bytes"));
  files.forget("7.1");
  return { disk, files };
}

test("syncing a forgotten file that awaits removal does not leave it open", async () => {
  const { disk, files } = forgotten();
  await files.sync("7.1");
  files.syncNow("7.1");
  expect(disk.syncs).toBe(2);
  disk.removeFile("data", "7.1");
  expect(disk.open).toBe(0);
});

test("a failed sync closes what it opened", async () => {
  const { disk, files } = forgotten();
  disk.before = (call) => {
    if (call === "sync") throw new Error("the disk is gone");
  };
  await expect(files.sync("7.1")).rejects.toThrow("the disk is gone");
  expect(() => files.syncNow("7.1")).toThrow("the disk is gone");
  expect(disk.open).toBe(0);
});

test("syncing a removed file opens nothing", async () => {
  const { disk, files } = forgotten();
  disk.removeFile("data", "7.1");
  await files.sync("7.1");
  expect(disk.open).toBe(0);
  expect(disk.syncs).toBe(0);
});
