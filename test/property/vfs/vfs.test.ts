/** The filesystem answers as the local disk does, whatever is published, checkpointed or restarted in between. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULT_POLICY } from "../../../src/format/commits/policy.ts";
import { LocalDisk } from "../../support/local-disk.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";
import { anyOperation, applyTo, treeOf } from "../../support/vfs-operations.ts";
import type { Operation } from "../../support/vfs-operations.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;

/** What happens to the agent between operations. */
type Event = { readonly event: "publish" | "seal" | "removals" | "finish" | "checkpoint" | "restart" | "powerCycle" };

const event: fc.Arbitrary<Event> = fc.record({
  event: fc.constantFrom("publish", "seal", "removals", "finish", "checkpoint", "restart", "powerCycle"),
});

test("operations give the same results as on the local disk, across publishing, checkpoints and restarts", async () => {
  const steps = fc.array(
    fc.oneof({ weight: 5, arbitrary: anyOperation }, { weight: 1, arbitrary: event }) as fc.Arbitrary<
      Operation | Event
    >,
    { maxLength: HEAVY ? 120 : 60, size: "max" },
  );
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      using local = new LocalDisk(mkdtempSync(join(tmpdir(), "syncline-local-")));
      const fs = await VfsHarness.create();
      for (const step of all) {
        if ("event" in step) await happen(fs, step);
        const compared = "event" in step || !mayCompare(local, step) ? undefined : step;
        const answers = compared && [compared, await applyTo(fs, compared)];
        expect(answers).toEqual(compared && [compared, local.apply(compared)]);
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
    case "removals":
      return void fs.vfs.seal(true, DEFAULT_POLICY.units);
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
