/** With a limit of unpublished bytes: a write that does not fit is refused whole, and everything else is as on the local disk. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import type { Ino } from "../../../src/base/ids.ts";
import { LocalDisk } from "../../support/local-disk.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";
import { anyOperation, applyTo, type Operation, treeOf } from "../../support/vfs-operations.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const LIMIT = 8_000;
/** After this long, discarded files are removed. */
const SWEPT_MS = 10_000;

type Event = { readonly event: "publish" | "seal" | "sweep" | "restart" };

const event: fc.Arbitrary<Event> = fc.record({ event: fc.constantFrom("publish", "seal", "sweep", "restart") });
const names = fc.constantFrom("a", "b", "c");
const write: fc.Arbitrary<Operation> = fc.record({
  op: fc.constant("write" as const),
  path: names,
  offset: fc.oneof(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 0, max: 200_000 })),
  bytes: fc.integer({ min: 1, max: 3_000 }).map((length) => new Uint8Array(length).fill(1 + (length % 250))),
});
const step: fc.Arbitrary<Operation | Event> = fc.oneof(
  { weight: 12, arbitrary: anyOperation },
  { weight: 12, arbitrary: write },
  { weight: 4, arbitrary: names.map((path): Operation => ({ op: "create", path })) },
  { weight: 2, arbitrary: event },
);

test("data files never exceed the limit, a refused call changes nothing, and publishing frees all room", async () => {
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: HEAVY ? 240 : 120, size: "max" }), async (steps) => {
      using local = new LocalDisk(mkdtempSync(join(tmpdir(), "syncline-local-")));
      const fs = await VfsHarness.create({ unpublishedBytes: LIMIT });
      let hasRestarted = false;
      for (const each of steps) {
        if ("event" in each) {
          hasRestarted ||= each.event === "restart";
          await happen(fs, each);
          continue;
        }
        if (!mayCompare(local, each)) continue;
        const answer = await applyTo(fs, each);
        const isRefused = answer === ERRNO.ENOSPC;
        if (isRefused) refused++;
        expect([each, answer]).toEqual([each, isRefused ? answer : local.apply(each)]);
        // Bytes that a file lost before a restart are not counted after it.
        expect(hasRestarted ? 0 : storedBytes(fs)).toBeLessThanOrEqual(LIMIT);
      }
      expect(await treeOf(fs)).toEqual(local.tree());
      const orphans: Ino[] = [];
      fs.vfs.watchOrphans((ino) => orphans.push(ino));
      for (const ino of orphans) fs.vfs.forget(ino);
      const last = { op: "create", path: "last" } as const;
      expect(await applyTo(fs, last)).toBe(local.apply(last));
      for (let round = 0; round < 2; round++) await fs.publish();
      await fs.advance(SWEPT_MS);
      const { blocks, freeBlocks } = fs.vfs.statFs();
      expect({ freeBlocks, stored: storedBytes(fs) }).toEqual({ freeBlocks: blocks, stored: 0 });
      fs.restart();
      expect(await treeOf(fs)).toEqual(local.tree());
    }),
    { numRuns: HEAVY ? 2_000 : 60 },
  );
  expect(refused).toBeGreaterThan(0);
});

async function happen(fs: VfsHarness, { event: what }: Event): Promise<void> {
  if (what === "publish") await fs.publish();
  else if (what === "seal") fs.vfs.seal();
  else if (what === "sweep") await fs.advance(SWEPT_MS);
  else fs.restart();
}

/** Counts the bytes on the disk. Written bytes are never zero, unlike holes. */
function storedBytes(fs: VfsHarness): number {
  let stored = 0;
  for (const { bytes, size } of fs.disk.filesIn("data").values())
    for (const byte of bytes.subarray(0, size)) if (byte !== 0) stored++;
  return stored;
}

/** The local disk follows symlinks where the kernel would not have asked the filesystem. */
function mayCompare(local: LocalDisk, { op, path: at }: Operation): boolean {
  return (op !== "write" && op !== "truncate" && op !== "chmod") || local.isFile(at);
}
