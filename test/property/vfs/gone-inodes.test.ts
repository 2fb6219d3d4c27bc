/** A new mount forgets the numbers of objects that are gone, and of no others, whatever happened before. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { type Cid, type FileId, type Ino, ROOT_INO } from "../../../src/base/ids.ts";
import { parseKey } from "../../../src/format/files/keys.ts";
import { decodeDentry, dentryId } from "../../../src/format/files/rows.ts";
import { neededInodes } from "../../../src/overlay/needed-inodes.ts";
import { NodeStore } from "../../../src/tree/node-store.ts";
import { range } from "../../../src/tree/read.ts";
import { removeGone } from "../../support/gone-numbers.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";
import { anyOperation, applyTo, type Operation } from "../../support/vfs-operations.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;

type Step =
  | { readonly here: Operation }
  | { readonly others: readonly Operation[] }
  | { readonly event: "publish" | "seal" | "look" | "checkpoint" | "restart" | "mount" };

const names = fc.constantFrom("a", "b", "c");
/** Files are often moved, and moved back. */
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 3, arbitrary: anyOperation },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("rename" as const), path: names, to: names }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("unlink" as const), path: names }) },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ here: operation }) },
  { weight: 3, arbitrary: fc.record({ others: fc.array(operation, { minLength: 1, maxLength: 5 }) }) },
  {
    weight: 5,
    arbitrary: fc.record({ event: fc.constantFrom("publish", "seal", "look", "checkpoint", "restart", "mount") }),
  },
);

test("a new mount keeps exactly the numbers of what is in the base, and of what unpublished changes need", async () => {
  let forgotten = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: HEAVY ? 60 : 40, size: "max" }), async (steps) => {
      const fs = await VfsHarness.create();
      for (const each of steps) forgotten += await happen(fs, each);
      forgotten += await mount(fs);
    }),
    { numRuns: HEAVY ? 1_500 : 60 },
  );
  expect(forgotten).toBeGreaterThan(0);
});

/** Returns how many numbers were forgotten. */
async function happen(fs: VfsHarness, each: Step): Promise<number> {
  if ("here" in each) await applyTo(fs, each.here);
  else if ("others" in each) await byOthers(fs, each.others);
  else if (each.event === "publish") await fs.publish();
  else if (each.event === "seal") fs.vfs.seal();
  else if (each.event === "look") await fs.snapshot();
  else if (each.event === "checkpoint") await fs.vfs.checkpoint();
  else if (each.event === "restart") fs.restart();
  else return mount(fs);
  return 0;
}

async function byOthers(fs: VfsHarness, operations: readonly Operation[]): Promise<void> {
  const base = await fs.others(async (other) => {
    for (const each of operations) await applyTo(other, each);
    // So that there is a change in any case.
    await other.run((vfs) => vfs.setAttributes(ROOT_INO, { mode: 0o755 }));
  });
  fs.vfs.adopt(base);
}

async function mount(fs: VfsHarness): Promise<number> {
  fs.restart();
  const before = rowsOf(fs);
  await removeGone(fs);
  const after = rowsOf(fs);
  const { state } = fs.objects.overlay;
  const needed = neededInodes(state, []);
  const there = await idsIn(fs, state.base.tree);
  const kept = [...before].filter(([ino, id]) => needed.has(ino) || there.has(id));
  expect(after).toEqual(new Map(kept));
  return before.size - after.size;
}

function rowsOf({ objects }: VfsHarness): Map<Ino, FileId> {
  const { inodes } = objects.overlay.state;
  const rows = Array.from(inodes.numbers(), (ino) => inodes.row(ino)).filter((row) => row !== undefined);
  return new Map(rows.map(({ ino, id }) => [ino, id]));
}

/** The ids of all objects of a tree. */
async function idsIn(fs: VfsHarness, tree: Cid): Promise<Set<FileId>> {
  const ids = new Set<FileId>();
  for await (const entry of range(new NodeStore(fs.blocks, { capacityBytes: 1 << 20 }), tree)) {
    const key = parseKey(entry.key);
    ids.add(key.kind === "dentry" ? dentryId(key.id, key.name, decodeDentry(key.id, key.name, entry)) : key.id);
  }
  return ids;
}
