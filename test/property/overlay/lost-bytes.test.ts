/** A start tells of bytes that are lost, and never of bytes that are there. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { seededRandom } from "../../../src/simulate/seeded-random.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";
import { anyOperation, applyTo, type Operation } from "../../support/vfs-operations.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const LARGE = "x".repeat(100_000);

type Step = Operation | "publish" | "seal" | "checkpoint" | "kill";

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: anyOperation },
  {
    weight: 2,
    arbitrary: fc.constantFrom("publish" as const, "seal" as const, "checkpoint" as const, "kill" as const),
  },
);

async function happen(fs: VfsHarness, each: Step): Promise<void> {
  if (each === "publish") await fs.publish();
  else if (each === "seal") fs.vfs.seal();
  else if (each === "checkpoint") await fs.vfs.checkpoint();
  else if (each === "kill") fs.restart();
  else await applyTo(fs, each);
}

test("a kill loses no bytes, whatever happened before", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const fs = await VfsHarness.create();
      for (const each of steps) await happen(fs, each);
      fs.vfs.persist();
      fs.restart();
      expect(fs.objects.overlay.lost).toBeUndefined();
    }),
    { numRuns: HEAVY ? 2_000 : 100 },
  );
});

test("files whose data files are gone are named, also those of an epoch on its way", async () => {
  const fs = await VfsHarness.create();
  await fs.make("sealed", LARGE);
  fs.vfs.seal();
  await fs.make("large", LARGE);
  await fs.make("small", "small");
  fs.vfs.persist();
  fs.restart();
  expect(fs.objects.overlay.lost).toBeUndefined();
  for (const name of fs.disk.list("data")) fs.disk.removeFile("data", name);
  fs.restart();
  const lost = fs.objects.overlay.lost;
  expect({ ...lost, names: lost?.names.toSorted() }).toEqual({ files: 3, names: ["large", "sealed", "small"] });
});

test.each(["small", LARGE])("an fsync fails if the data file was removed under its agent: %#", async (contents) => {
  const fs = await VfsHarness.create({ openFiles: 1 });
  const ino = await fs.make("file", contents);
  await fs.make("open instead", LARGE);
  for (const name of fs.disk.list("data")) fs.disk.removeFile("data", name);
  await expect(fs.vfs.fsync(ino)).rejects.toMatchObject({ code: "store_failed" });
});

test.each(["small", LARGE])("a data file removed under its agent is never published as zeros: %#", async (contents) => {
  const fs = await VfsHarness.create();
  const ino = await fs.make("file", contents);
  await fs.vfs.fsync(ino);
  fs.vfs.seal();
  for (const name of fs.disk.list("data")) fs.disk.removeFile("data", name);
  await expect(fs.publish()).rejects.toMatchObject({ code: "store_failed", hint: expect.stringContaining("zeros") });
  // Whoever starts the agent without it is told, and publishes zeros.
  fs.restart();
  expect(fs.objects.overlay.lost).toEqual({ files: 1, names: ["file"] });
  await fs.publish();
  expect(await fs.text("file")).toBe("\0".repeat(contents.length));
});

test.each(["x".repeat(2_000), LARGE])("a power loss names each file that it shortens: %#", async (contents) => {
  let shortened = 0;
  for (let seed = 0; seed < 40; seed++) {
    const fs = await VfsHarness.create();
    await fs.make("file", contents);
    await fs.vfs.sync();
    fs.restart(seededRandom(seed));
    const isWhole = (await fs.text("file")) === contents;
    if (!isWhole) shortened++;
    expect(fs.objects.overlay.lost?.names, `seed ${seed}`).toEqual(isWhole ? undefined : ["file"]);
  }
  expect(shortened).toBeGreaterThan(0);
});
