/** A sync that succeeds after one that failed counts only once the bytes of the failed one are written again. */
import { expect, test } from "vitest";
import { FileSyncs } from "../../../../src/overlay/data/file-syncs.ts";
import { OpenDataFiles } from "../../../../src/overlay/data/open-files.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import type { Folder, StoredFile } from "../../../../src/overlay/disk/storage.ts";
import { SimulatedDisk } from "../../../../src/simulate/disks/simulated-disk.ts";

const NAME = "7.1";
const [FIRST, SECOND] = [Buffer.alloc(100, 1), Buffer.alloc(100, 2)];
const BOTH = { from: 0, to: 200 };

/** A disk whose syncs take a while: what is written meanwhile is part of them. */
class SlowDisk extends SimulatedDisk {
  override openFile(folder: Folder, name: string, create: boolean): StoredFile | undefined {
    const file = super.openFile(folder, name, create);
    return file && { ...file, sync: () => new Promise((done) => setImmediate(done)).then(() => file.sync()) };
  }
}

/** A file whose first bytes wait to be synced. Its next sync fails. */
function failing() {
  const disk = new SlowDisk();
  const open = new OpenDataFiles(disk, 8);
  open.file(NAME).write(0, FIRST);
  let fails = true;
  disk.before = (call) => {
    if (call !== "sync" || !fails) return;
    fails = false;
    throw new Error("the disk is broken");
  };
  return { disk, open, syncs: new FileSyncs(open) };
}

function afterPowerLoss(disk: SimulatedDisk): Buffer {
  const found = Buffer.alloc(BOTH.to);
  disk.syncFolderNow("data");
  disk.afterPowerLoss(seededRandom(1)).openFile("data", NAME, false)?.read(0, found);
  return found;
}

test("for a caller that waited meanwhile, also its own bytes are written again", async () => {
  const { disk, open, syncs } = failing();
  const first = syncs.sync(NAME, { from: 0, to: 100 });
  open.file(NAME).write(100, SECOND);
  const second = syncs.sync(NAME, BOTH);
  await expect(first).rejects.toThrow("the disk is broken");
  expect(await second).toBe(true);
  expect(afterPowerLoss(disk)).toEqual(Buffer.concat([FIRST, SECOND]));
});

test("for a caller that comes later, also bytes that the failed one did not ask for", async () => {
  const { disk, open, syncs } = failing();
  const first = syncs.sync(NAME, { from: 0, to: 100 });
  const waiting = syncs.sync(NAME, { from: 0, to: 100 });
  open.file(NAME).write(100, SECOND);
  await expect(first).rejects.toThrow("the disk is broken");
  await waiting;
  expect(await syncs.sync(NAME, BOTH)).toBe(true);
  expect(afterPowerLoss(disk)).toEqual(Buffer.concat([FIRST, SECOND]));
});
