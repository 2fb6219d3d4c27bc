/** A start finds the state that the process before it had: every changed object, and the epoch in flight as it was sealed. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { encodeSealed, writeObject } from "../../../src/overlay/journal/checkpoint.ts";
import { ByteWriter } from "../../../src/overlay/data/bytes.ts";
import type { DirtyObject } from "../../../src/overlay/dirty-object.ts";
import type { OverlayState } from "../../../src/overlay/state.ts";
import { type Chore, CHORES, doChore } from "../../support/vfs-chores.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";
import { anyOperation, applyTo, type Operation } from "../../support/vfs-operations.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;

type Event = { readonly event: Chore | "others" };

const event: fc.Arbitrary<Event> = fc.record({ event: fc.constantFrom(...CHORES, "others") });
const names = fc.constantFrom("a", "b", "c");
const step: fc.Arbitrary<Operation | Event> = fc.oneof(
  { weight: 4, arbitrary: anyOperation },
  // Files that take the place of others, in one epoch and in the next.
  { weight: 1, arbitrary: names.map((path): Operation => ({ op: "create", path })) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("rename" as const), path: names, to: names }) },
  { weight: 2, arbitrary: event },
);
/** What one process does until it is killed. */
const run = fc.array(step, { maxLength: HEAVY ? 60 : 30, size: "max" });

test("a start after a kill finds what the process had, however checkpoints, seals and publications alternate", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(run, { minLength: 1, maxLength: 4 }), async (runs) => {
      const fs = await VfsHarness.create({ checkpointBytes: 4096 });
      for (const steps of runs) {
        for (const each of steps) {
          if (!("event" in each)) await applyTo(fs, each);
          else await (each.event === "others" ? others(fs) : doChore(fs, each.event));
        }
        fs.vfs.persist();
        const before = contentsOf(fs.objects.overlay.state);
        fs.restart();
        expect(contentsOf(fs.objects.overlay.state)).toEqual(before);
      }
    }),
    { numRuns: HEAVY ? 4_000 : 150 },
  );
});

/** Another agent makes a file, and changes "a" if it exists. */
async function others(fs: VfsHarness): Promise<void> {
  const base = await fs.others(async (other) => {
    await other.make(`other-${fs.root.seq}`);
    await applyTo(other, { op: "write", path: "a", offset: 0, bytes: new Uint8Array([fs.root.seq]) });
  });
  fs.vfs.adopt(base);
}

function objectRow(object: DirtyObject): Uint8Array {
  const writer = new ByteWriter(1024);
  writeObject(writer, object);
  return writer.bytes;
}

/** All of the state, by inode number. */
function contentsOf(state: OverlayState) {
  const { epoch, inFlight, base } = state;
  const { objects: sealed = [], ...flight } = inFlight?.changes ?? {};
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
  return {
    base,
    epoch,
    flight,
    sealed: new Map(sealed.map((changed) => [changed.ino, hex(encodeSealed(changed))])),
    objects: new Map(Array.from(state.objects(), (object) => [object.ino, hex(objectRow(object))])),
  };
}
