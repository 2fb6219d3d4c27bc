/** What counts toward the most unpublished objects in memory is exact at all times, and grows only if it was admitted. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import type { FileRecord } from "../../../src/format/files/record.ts";
import { unitsOf } from "../../../src/overlay/long-values.ts";
import type { OverlayState } from "../../../src/overlay/state.ts";
import { type Chore, CHORES, doChore, forgetOrphans } from "../../support/vfs-chores.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";
import { anyOperation, applyTo, type Operation } from "../../support/vfs-operations.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const MOST = 60;
/** Changes that free space may exceed the most by this factor. */
const URGENT = 1.125;
const UNIT = 2_048;

type Event = { readonly event: Chore | "restart" | "others" };

const names = fc.constantFrom("a", "b", "c");
const event: fc.Arbitrary<Event> = fc.record({ event: fc.constantFrom(...CHORES, "restart", "others") });
const attribute: fc.Arbitrary<Operation> = fc.record({
  op: fc.constant("setxattr" as const),
  path: names,
  name: fc.constantFrom("user.a", "user.b"),
  bytes: fc.integer({ min: 0, max: 12 }).map((units) => new Uint8Array(units * UNIT).fill(units)),
});
const step: fc.Arbitrary<Operation | Event> = fc.oneof(
  { weight: 8, arbitrary: anyOperation },
  { weight: 8, arbitrary: attribute },
  {
    weight: 3,
    arbitrary: fc.record({ op: fc.constant("removexattr" as const), path: names, name: fc.constant("user.a") }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("rename" as const), path: names, to: names }) },
  { weight: 2, arbitrary: names.map((path): Operation => ({ op: "symlink", path, target: "t".repeat(4_000) })) },
  { weight: 4, arbitrary: event },
);

test("the count of unpublished objects and long values equals a recount, and never grows past the most", async () => {
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: HEAVY ? 160 : 80, size: "max" }), async (steps) => {
      const fs = await VfsHarness.create({ unpublishedObjects: MOST });
      for (const each of steps) {
        const before = fs.objects.overlay.state.held;
        if ("event" in each) await happen(fs, each);
        else if ((await applyTo(fs, each)) === ERRNO.ENOSPC) refused++;
        const { state } = fs.objects.overlay;
        expect([each, state.held]).toEqual([each, recount(state)]);
        // Events may add what others changed.
        expect(state.held).toBeLessThanOrEqual("event" in each ? Infinity : Math.max(before, MOST * URGENT));
      }
      forgetOrphans(fs);
      for (let times = 0; times < 2; times++) await fs.publish();
      expect(fs.objects.overlay.state.held).toBe(0);
    }),
    { numRuns: HEAVY ? 2_000 : 60 },
  );
  expect(refused).toBeGreaterThan(0);
});

async function happen(fs: VfsHarness, { event: what }: Event): Promise<void> {
  if (what === "restart") return fs.restart();
  return what === "others" ? others(fs) : doChore(fs, what);
}

/** Others set attributes of the same files. */
async function others(fs: VfsHarness): Promise<void> {
  const base = await fs.others(async (other) => {
    const ino = (await other.find("a"))?.ino ?? (await other.make("a"));
    const isSet = await applyTo(other, { op: "setxattr", path: "a", name: "user.c", bytes: new Uint8Array(2 * UNIT) });
    if (isSet !== 0) await other.run((vfs) => vfs.setAttributes(ino, { mode: 0o700 }));
  });
  fs.vfs.adopt(base);
}

/** Objects, their kept rows, and each of the different values that they hold: now, in the base, and in the epoch in flight. */
function recount(state: OverlayState): number {
  let held = state.count;
  for (const object of state.objects()) {
    const sealed = state.inFlight?.objects.get(object.ino);
    const records: (Pick<FileRecord, "xattrs" | "target"> | undefined)[] = [object, object.base, sealed?.record];
    const values = records.flatMap((record) => (record === undefined ? [] : [record.xattrs]));
    held += unitsOf(object.target) + (object.base === undefined ? 0 : 1);
    for (const value of new Set(values)) held += unitsOf(value);
  }
  return held;
}
