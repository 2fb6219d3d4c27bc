/** Contents of files that move out of shared data files, over kills, power losses and the removal of unused files. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Ino } from "../../../../src/base/ids.ts";
import { SMALL_FILE_BYTES } from "../../../../src/base/limits.ts";
import { DataFiles } from "../../../../src/overlay/data/data-files.ts";
import { dataReaderOf } from "../../../../src/overlay/data/data-reader.ts";
import { SimulatedDisk } from "../../../../src/simulate/disks/simulated-disk.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";

const RUNS = process.env["SYNCLINE_TEST_ALL"] === undefined ? 150 : 5_000;
const OPEN_FILES = 2;
const EPOCH = 1;
const INOS = [10, 11, 12].map((ino) => ino as Ino);

const ino = fc.constantFrom(...INOS);
const length = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 2_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: SMALL_FILE_BYTES - 2_000, max: SMALL_FILE_BYTES + 2_000 }) },
);
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant("write" as const),
      ino,
      offset: fc.nat(1_000),
      length,
      byte: fc.integer({ min: 1, max: 255 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("restart" as const) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("sweep" as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("sync" as const), ino }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("drop" as const), ino }) },
);
const steps = fc.array(step, { maxLength: 25, size: "max" });

/** Bytes by offset. Undefined: the byte may be anything. */
type Bytes = readonly (number | undefined)[];

/** What each file holds, and which of its bytes did not change since its last sync. */
class Model {
  readonly contents = new Map<Ino, Bytes>();
  readonly synced = new Map<Ino, Bytes>();

  write(of: Ino, offset: number, length: number, byte: number): void {
    const before = this.contents.get(of) ?? [];
    const after = before.concat(Array<number>(Math.max(0, offset + length - before.length)).fill(0));
    this.contents.set(of, after.fill(byte, offset, offset + length));
    const synced = this.synced.get(of)?.slice();
    if (synced !== undefined) this.synced.set(of, synced.fill(undefined, offset, offset + length));
  }
}

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** Plays the steps. */
async function play(all: readonly Step[], model: Model): Promise<{ disk: SimulatedDisk; data: DataFiles }> {
  let disk = new SimulatedDisk();
  let data = new DataFiles(disk, OPEN_FILES);
  const dropped = new Set<Ino>();
  for (const each of all) {
    if (each.op === "restart") {
      disk = disk.afterKill();
      data = new DataFiles(disk, OPEN_FILES);
      for (const gone of dropped) data.discard(gone, EPOCH);
    } else if (each.op === "sweep") {
      await data.removeDiscarded(async () => {});
    } else if (each.op === "sync") {
      await data.sync(each.ino);
      const bytes = model.contents.get(each.ino);
      if (bytes !== undefined) model.synced.set(each.ino, bytes);
    } else if (each.op === "drop") {
      // A dropped inode's number is not used again.
      dropped.add(each.ino);
      data.discard(each.ino, EPOCH);
      model.contents.delete(each.ino);
      model.synced.delete(each.ino);
    } else if (!dropped.has(each.ino)) {
      data.write(each.ino, EPOCH, each.offset, Buffer.alloc(each.length, each.byte));
      model.write(each.ino, each.offset, each.length, each.byte);
    }
  }
  return { disk, data };
}

test("a start and the publisher find what was written last, whichever unused files were removed", async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const model = new Model();
      const { disk, data } = await play(all, model);
      data.sealed();
      await data.removeDiscarded(async () => {});
      expect(await lost(disk, model.contents)).toEqual([]);
    }),
    { numRuns: RUNS },
  );
});

test("synced contents survive a power loss while other files move and unused ones are removed", async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 0, max: 1e9 }), async (all, seed) => {
      const model = new Model();
      const { disk } = await play(all, model);
      expect(await lost(disk.afterPowerLoss(seededRandom(seed)), model.synced)).toEqual([]);
    }),
    { numRuns: RUNS },
  );
});

/** What a new process or the publisher does not find. */
async function lost(disk: SimulatedDisk, expected: ReadonlyMap<Ino, Bytes>): Promise<string[]> {
  const reader = dataReaderOf(disk);
  const data = new DataFiles(disk, OPEN_FILES);
  const all: string[] = [];
  for (const [of, bytes] of expected) {
    const found = Buffer.alloc(bytes.length);
    data.read(of, EPOCH, 0, found);
    const published = await reader.readData(of, EPOCH, 0, bytes.length);
    const at = [found, published].map((each) => difference(each, bytes));
    if (at.some((each) => each >= 0)) all.push(`${of} at ${at.join(" and ")}`);
  }
  return all;
}

/** The first offset whose bytes differ; -1 for none. */
function difference(found: Uint8Array, expected: Bytes): number {
  return expected.findIndex((byte, at) => byte !== undefined && found[at] !== byte);
}
