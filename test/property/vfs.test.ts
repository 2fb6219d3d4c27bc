/** The filesystem answers as the local disk does, whatever is published, checkpointed or restarted in between. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { LocalDisk } from "../support/local-disk.ts";
import { VfsHarness } from "../support/vfs-harness.ts";
import { applyTo, treeOf } from "../support/vfs-operations.ts";
import type { Operation } from "../support/vfs-operations.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;

/** What happens to the agent between operations. */
type Event = { readonly event: "publish" | "seal" | "finish" | "checkpoint" | "restart" | "powerCycle" };

const names = fc.constantFrom("a", "b", "c");
const path = fc.array(names, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
const bytes = fc.integer({ min: 1, max: 3_000 }).map((length) => new Uint8Array(length).fill(1 + (length % 250)));
const offset = fc.oneof(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 0, max: 200_000 }));

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant("create" as const), path }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant("mkdir" as const), path }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant("write" as const), path, offset, bytes }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("truncate" as const), path, size: offset }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("unlink" as const), path }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("rmdir" as const), path }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant("rename" as const), path, to: path }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("link" as const), path, to: path }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("symlink" as const), path, target: fc.constant("nowhere") }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant("chmod" as const), path, mode: fc.constantFrom(0o600, 0o755, 0o2755) }),
  },
);
const event: fc.Arbitrary<Event> = fc.record({
  event: fc.constantFrom("publish", "seal", "finish", "checkpoint", "restart", "powerCycle"),
});

test("operations end as on the local disk, across publishing, checkpoints and restarts", async () => {
  const steps = fc.array(
    fc.oneof({ weight: 5, arbitrary: operation }, { weight: 1, arbitrary: event }) as fc.Arbitrary<Operation | Event>,
    { maxLength: HEAVY ? 120 : 60, size: "max" },
  );
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      using local = new LocalDisk(mkdtempSync(join(tmpdir(), "syncline-local-")));
      const fs = await VfsHarness.create();
      for (const step of all) {
        if ("event" in step) await happen(fs, step);
        else if (mayCompare(local, step)) expect([step, await applyTo(fs, step)]).toEqual([step, local.apply(step)]);
      }
      expect(await treeOf(fs)).toEqual(local.tree());
      await fs.publish();
      await fs.publish();
      expect(await treeOf(fs)).toEqual(local.tree());
      fs.restart();
      expect(await treeOf(fs)).toEqual(local.tree());
    }),
    { numRuns: HEAVY ? 2_000 : 60 },
  );
});

async function happen(fs: VfsHarness, { event: what }: Event): Promise<void> {
  switch (what) {
    case "publish":
      return fs.publish();
    case "seal":
      return void fs.vfs.seal();
    case "finish":
      if (fs.vfs.heldEpochs.length > 0) await fs.publish();
      return;
    case "checkpoint":
      return fs.vfs.checkpoint();
    case "restart":
      return fs.restart();
    case "powerCycle":
      await fs.syncAll();
      return fs.restart({ bytes: (length) => new Uint8Array(length), fraction: () => 0 });
  }
}

/** The local disk follows symlinks where the kernel would not have asked the filesystem. */
function mayCompare(local: LocalDisk, { op, path: at }: Operation): boolean {
  return (op !== "write" && op !== "truncate" && op !== "chmod") || local.isFile(at);
}
