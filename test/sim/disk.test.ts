/** The simulated disk: what it has after a kill or power loss is what was written to it. */
import { expect, test } from "vitest";
import { seededRandom } from "../../src/simulate/seeded-random.ts";
import { SimulatedDisk } from "../../src/simulate/disks/simulated-disk.ts";
import type { StoredFile } from "../../src/overlay/disk/storage.ts";
import { withFlippedBit } from "../../src/simulate/disks/faulty-line.ts";

test("a power loss leaves all, part or none of a write, never what its writer put into the same buffer later", () => {
  const random = seededRandom(1);
  const disk = new SimulatedDisk();
  const memory = Buffer.from("first");
  const file = fileOf(disk);
  file.write(0, memory);
  disk.syncFolderNow("journal");
  memory.write("later");
  const left = new Set(Array.from({ length: 100 }, () => textOf(fileOf(disk.afterPowerLoss(random)))));
  expect([...left].sort()).toEqual(["", "f", "fi", "fir", "firs", "first"]);
});

test("what was synced survives a power loss, and later writes survive by chance", () => {
  const random = seededRandom(2);
  const disk = new SimulatedDisk();
  const file = fileOf(disk);
  file.write(0, Buffer.from("synced"));
  file.syncNow();
  disk.syncFolderNow("journal");
  file.write(6, Buffer.from("!"));
  file.write(0, Buffer.from("S"));
  const left = new Set(Array.from({ length: 100 }, () => textOf(fileOf(disk.afterPowerLoss(random)))));
  expect([...left].sort()).toEqual(["Synced", "Synced!", "synced", "synced!"]);
  expect(textOf(file)).toBe("Synced!");
});

test("the disk after a kill has everything, and shares no later write with the disk before", () => {
  const before = new SimulatedDisk();
  fileOf(before).write(0, Buffer.from("kept"));
  const after = before.afterKill();
  fileOf(before).write(0, Buffer.from("dead"));
  fileOf(after).write(4, Buffer.from("!"));
  expect(textOf(fileOf(before))).toBe("dead");
  expect(textOf(fileOf(after))).toBe("kept!");
  expect(textOf(fileOf(after.afterPowerLoss(seededRandom(3))))).not.toContain("dead");
});

test("a flipped bit is in what is read, not in what is stored", () => {
  const there = Buffer.from("as it was");
  expect(Buffer.from(withFlippedBit(there, seededRandom(4))).equals(there)).toBe(false);
  expect(there.toString()).toBe("as it was");
});

function fileOf(disk: SimulatedDisk): StoredFile {
  const file = disk.openFile("journal", "1", true);
  if (file === undefined) throw new Error("A file that may be made is there.");
  return file;
}

function textOf(file: StoredFile): string {
  const target = Buffer.alloc(file.size());
  file.read(0, target);
  return target.toString();
}
