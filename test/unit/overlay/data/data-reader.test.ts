/** Reading the contents of sealed epochs. */
import { expect, test, vi } from "vitest";
import type { Ino } from "../../../../src/base/ids.ts";
import { DataFiles } from "../../../../src/overlay/data/data-files.ts";
import { dataReaderOf } from "../../../../src/overlay/data/data-reader.ts";
import { SimulatedDisk } from "../../../../src/simulate/disks/simulated-disk.ts";

test("large files of two epochs are read by turns after one scan of each epoch", async () => {
  const disk = new SimulatedDisk();
  const data = new DataFiles(disk, 16);
  for (const epoch of [1, 2]) {
    for (let ino = 1; ino <= 5; ino++) data.write(ino as Ino, epoch, 0, Buffer.alloc(100_000, epoch));
    data.sealed();
  }
  const lists = vi.spyOn(disk, "list");
  const reader = dataReaderOf(disk);
  for (let ino = 1; ino <= 5; ino++) {
    for (const epoch of [1, 2]) expect([...(await reader.readData(ino as Ino, epoch, 0, 1))]).toEqual([epoch]);
  }
  expect(lists).toHaveBeenCalledTimes(2);
});

test("small files of two epochs are read by turns after one scan of each epoch", async () => {
  const disk = new SimulatedDisk();
  const data = new DataFiles(disk, 16);
  for (const epoch of [1, 2]) {
    for (let ino = 1; ino <= 50; ino++) data.write(ino as Ino, epoch, 0, Buffer.from(`${ino} in ${epoch}`));
    data.sealed();
  }
  const lists = vi.spyOn(disk, "list");
  const reader = dataReaderOf(disk);
  for (let ino = 1; ino <= 50; ino++) {
    for (const epoch of [1, 2]) {
      const text = `${ino} in ${epoch}`;
      expect(Buffer.from(await reader.readData(ino as Ino, epoch, 0, text.length)).toString()).toBe(text);
    }
  }
  expect(lists).toHaveBeenCalledTimes(2);
});
