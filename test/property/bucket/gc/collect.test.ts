/**
 * Whole agents that publish, that are out of reach for days, and collectors that run beside them and die: nothing that anybody
 * needs is ever taken, and what nobody needs goes. SYNCLINE_TEST_ALL: 80 longer histories.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { verifyBucket } from "../../../../src/bucket/verify.ts";
import { anyAction } from "../../../support/agent-operations.ts";
import type { Step } from "../../../support/agents-world.ts";
import { noise } from "../../../support/bytes.ts";
import { PackedWorld } from "../../../support/packed-world.ts";
import { openBucket } from "../../../support/test-bucket.ts";

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
  { weight: 8, arbitrary: fc.record({ agent, what: anyAction }).map((step) => ({ step })) },
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
  "what agents saved survives, whatever is collected beside them",
  async () => {
    const seen = { died: 0, ended: 0, overtaken: 0, notNeeded: 0, dropped: 0, held: 0 };
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
          for (const key of ["died", "ended", "overtaken", "notNeeded", "dropped"] as const)
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

test("an edit of a large file restores the whole file, although its base was collected while the agent was away", async () => {
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

test.each([false, true])(
  "an agent that was away for months publishes its changes to files whose versions were collected (restarted: %s)",
  async (restarts) => {
    const packed = new PackedWorld(1);
    await packed.create();
    const [away, there] = packed.world.agents;
    if (away === undefined || there === undefined) throw new Error("there are agents");
    const file = (name: string) => `shared/${name}`;
    const names = ["appended", "written", "moved", "mode", "deleted", "appended-removed", "moved-removed", "log.log"];
    for (const [index, name] of names.entries()) await there.mount.create(file(name), noise(200_000, index));
    await there.flush();
    await away.flush();
    packed.away.add(seedOf(0));
    const write = async (name: string, at: number, text: string) => {
      const { ino } = await away.mount.stat(file(name));
      away.vfs.write(ino, at, Buffer.from(text));
    };
    await write("appended", 200_000, "appended while away");
    await write("written", 100_000, "written while away");
    await write("appended-removed", 200_000, "kept while away");
    await write("log.log", 200_000, "logged while away");
    await away.mount.rename(file("moved"), file("moved here"));
    await away.mount.rename(file("moved-removed"), file("gone"));
    await away.mount.chmod(file("mode"), 0o600);
    await away.mount.unlink(file("deleted"));
    await away.mount.create(file("new"), Buffer.from("new while away"));
    for (const name of names) {
      if (name.endsWith("removed")) await there.mount.unlink(file(name));
      else if (name === "log.log")
        await there.mount.edit(file(name), () => ({ offset: 200_000, bytes: Buffer.from("theirs") }));
      else await there.mount.edit(file(name), () => ({ offset: 0, bytes: noise(200_000, 50), size: 200_000 }));
    }
    await there.flush();
    for (const later of ["one", "two"]) {
      packed.later(24 * 100);
      await there.mount.create(file(later), Buffer.from("later"));
      await there.flush();
      await packed.collect(Infinity);
    }
    expect(packed.collections.dropped).toBeGreaterThan(0);
    packed.away.clear();
    if (restarts) await away.restart();
    await away.flush();
    expect(away.trouble).toBeUndefined();
    expect(await packed.world.faults()).toEqual([]);
    const found = new Map(
      await Promise.all(
        (await there.mount.list("shared")).map(async (name) => {
          const shown = await there.mount.show(file(name));
          return [name.replace(/conflict [0-9a-f]+/, "conflict"), shown?.contents.toString("latin1") ?? ""] as const;
        }),
      ),
    );
    expect([...found.keys()].sort()).toEqual([
      "appended",
      "appended (conflict)",
      "appended-removed (conflict)",
      "deleted",
      "log (conflict).log",
      "log.log",
      "mode",
      "moved here",
      "new",
      "one",
      "two",
      "written",
      "written (conflict)",
    ]);
    const theirs = Buffer.from(noise(200_000, 50)).toString("latin1");
    for (const name of ["appended", "deleted", "mode", "moved here", "written"]) expect(found.get(name)).toBe(theirs);
    expect(found.get("appended (conflict)")).toContain("appended while away");
    expect(found.get("written (conflict)")).toContain("written while away");
    expect(found.get("appended-removed (conflict)")).toContain("kept while away");
    const log = Buffer.from(noise(200_000, 7)).toString("latin1");
    expect(found.get("log (conflict).log")).toBe(`${log}logged while away`);
    expect((await there.mount.show(file("new")))?.contents.toString()).toBe("new while away");
  },
);
