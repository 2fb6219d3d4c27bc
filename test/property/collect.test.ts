/**
 * Whole agents that publish, that are out of reach for days, and collectors that run beside them and die: nothing that anybody
 * needs is ever taken, and what nobody needs goes. SYNCLINE_TEST_ALL: 80 longer histories.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { verifyBucket } from "../../src/bucket/verify.ts";
import { anyDeed } from "../support/agent-operations.ts";
import type { Step } from "../support/agents-world.ts";
import { noise } from "../support/bytes.ts";
import { PackedWorld } from "../support/packed-world.ts";
import { openBucket } from "../support/test-bucket.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const AGENTS = 3;

type Event =
  | { readonly step: Step }
  | { readonly later: number }
  | { readonly away: number }
  | { readonly back: number }
  | { readonly full: number }
  | { readonly room: number }
  | { readonly collect: number; readonly wait: boolean };

const agent = fc.nat({ max: AGENTS - 1 });
const flushes = fc.constantFrom("flush", "begin", "begin", "catchUp", "restart", "checkpoint", "forget");
const anyEvent: fc.Arbitrary<Event> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ agent, what: anyDeed }).map((step) => ({ step })) },
  { weight: 5, arbitrary: fc.record({ agent, what: flushes }).map((step) => ({ step: step as Step })) },
  {
    weight: 1,
    arbitrary: fc
      .oneof(fc.integer({ min: 1, max: 30 }), fc.constant(40 * 24), fc.constant(100 * 24))
      .map((later) => ({ later })),
  },
  { weight: 1, arbitrary: agent.map((away) => ({ away })) },
  { weight: 1, arbitrary: agent.map((back) => ({ back })) },
  { weight: 1, arbitrary: agent.map((full) => ({ full })) },
  { weight: 1, arbitrary: agent.map((room) => ({ room })) },
  {
    weight: 2,
    arbitrary: fc.record({ collect: fc.oneof(fc.nat({ max: 40 }), fc.constant(Infinity)), wait: fc.boolean() }),
  },
);

/** Seeds of the three agents, as the world gives them. */
const seedOf = (index: number) => 10 + index;

async function happen(packed: PackedWorld, event: Event): Promise<void> {
  if ("later" in event) packed.later(event.later);
  else if ("away" in event) packed.away.add(seedOf(event.away));
  else if ("back" in event) packed.away.delete(seedOf(event.back));
  else if ("full" in event) packed.full.add(seedOf(event.full));
  else if ("room" in event) packed.full.delete(seedOf(event.room));
  else if ("step" in event) {
    // Starting anew reads the root.
    if (event.step.what === "restart") packed.away.delete(seedOf(event.step.agent));
    await packed.world.step(event.step);
  } else {
    const running = packed.collect(event.collect);
    if (event.wait) await running;
  }
}

test(
  "what agents saved is there when they have come to rest, whatever was collected beside them",
  async () => {
    const seen = { died: 0, ended: 0, overtaken: 0, spared: 0, dropped: 0, held: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.array(anyEvent, { maxLength: HEAVY ? 120 : 60, size: "max" }),
        async (seed, events) => {
          const packed = new PackedWorld(seed);
          await packed.create();
          for (const event of events) await happen(packed, event);
          packed.away.clear();
          packed.full.clear();
          await packed.settle();
          const faults = await packed.world.faults();
          expect(faults).toEqual([]);
          packed.later(48);
          await packed.collect(Infinity);
          expect(await packed.world.faults()).toEqual([]);
          for (const key of ["died", "ended", "overtaken", "spared", "dropped"] as const)
            seen[key] += packed.collections[key];
          seen.held += packed.basesHeld;
        },
      ),
      { numRuns: HEAVY ? 80 : 8, interruptAfterTimeLimit: HEAVY ? 3_000_000 : 60_000 },
    );
    console.log(`collections: ${JSON.stringify(seen)}`);
    expect(seen.dropped).toBeGreaterThan(0);
  },
  HEAVY ? 3_600_000 : 120_000,
);

test("an edit of a large file whose base was collected while its agent was away brings all of it back", async () => {
  const packed = new PackedWorld(1);
  await packed.create();
  const [writer, remover] = packed.world.agents;
  if (writer === undefined || remover === undefined) throw new Error("there are agents");
  const before = Buffer.from(noise(300_000, 1));
  await writer.mount.create("own-a/large", before);
  await writer.flush();
  await remover.catchUp();
  packed.away.add(seedOf(0));
  const edit = { offset: 150_000, bytes: Buffer.from("edited while away") };
  await writer.mount.edit("own-a/large", () => edit);
  await remover.mount.unlink("own-a/large");
  await remover.flush();
  for (const name of ["one", "two"]) {
    packed.later(24 * 100);
    await remover.mount.create(`shared/${name}`, Buffer.from("later"));
    await remover.flush();
    await packed.collect(Infinity);
  }
  expect(packed.collections.dropped).toBeGreaterThan(0);
  packed.away.clear();
  await writer.flush();
  expect(writer.trouble).toBeUndefined();
  await remover.catchUp();
  const after = Buffer.from(before);
  edit.bytes.copy(after, edit.offset);
  const found = await remover.mount.show("own-a/large");
  expect(found?.contents.equals(after)).toBe(true);
  const { damage } = await verifyBucket(await openBucket(packed.world.remote), { blocks: packed.world.remote.blocks });
  expect(damage).toEqual([]);
});
