/**
 * Agents that die right behind a swap, while others go on, and come back when the history no longer has their commit, nor what it
 * was merged with. SYNCLINE_TEST_ALL: 1,000 histories.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { keptCommits } from "../../../src/bucket/history.ts";
import { anyStep, type Step, World } from "../../support/agents-world.ts";
import { dropUnreached } from "../../support/drop-unreached.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import type { SimulatedAgent } from "../../support/simulated-agent.ts";
import { newWriter, nodesOf, openBucket } from "../../support/test-bucket.ts";
import { dropKept } from "../../support/thinning.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const runs = { numRuns: all ? 1_000 : 20, interruptAfterTimeLimit: all ? 3_000_000 : 90_000 };
const timeLimit = all ? 3_600_000 : 120_000;

async function setting() {
  const remote = new MemoryRemote();
  let nowNs = 1_700_000_000_000_000_000n;
  const clock = { ...systemClock, sleep: async () => {}, nowNs: () => (nowNs += 1_000_000n) };
  const world = await World.create({ remote, clock, remoteOf: async () => remote });
  const [agent, ...others] = world.agents;
  if (agent === undefined) throw new Error("there is no agent");
  return { world, remote, agent, others };
}

/** Its swap, if it has something to publish, takes place unseen. */
async function dieBehindSwap(remote: MemoryRemote, agent: SimulatedAgent): Promise<void> {
  remote.unreachable = false;
  remote.faults.splice(0, Infinity, "committed-unseen");
  const { beforeSwap } = remote;
  remote.beforeSwap = async () => void (remote.unreachable = true);
  await agent.flush();
  remote.beforeSwap = beforeSwap;
  remote.unreachable = false;
  remote.faults.length = 0;
  await agent.restart();
}

async function thin(remote: MemoryRemote): Promise<void> {
  const bucket = await openBucket(remote);
  const { commit } = await bucket.head();
  const seqs = [];
  for await (const { seq } of keptCommits(nodesOf(bucket), commit)) seqs.push(seq);
  await dropKept(await newWriter(bucket, 99), seqs);
}

const steps = (maxLength: number) => fc.array(anyStep, { maxLength, size: "max" });
const isAction = ({ what }: Step) => typeof what !== "string";
const actions = (maxLength: number) => steps(maxLength).map((some) => some.filter(isAction));

test(
  "what they and others did since is merged, and nothing is lost",
  async () => {
    await fc.assert(
      fc.asyncProperty(steps(30), actions(20), actions(20), async (before, during, after) => {
        const { world, remote, agent, others } = await setting();
        for (const step of before) await world.step(step);
        await dieBehindSwap(remote, agent);
        for (const other of others) await other.flush();
        for (const step of during) await world.step(step);
        for (const other of others) await other.flush();
        await thin(remote);
        for (const step of after) await world.step(step);
        // What is changed in a directory that others removed, and that no root has any more, goes to the root directory.
        expect((await world.faults()).filter((each) => !each.startsWith("misplaced"))).toEqual([]);
        expect(agent.replaced).toBe(0);
      }),
      runs,
    );
  },
  timeLimit,
);

test(
  "one without later changes leaves the bucket as it is, even if only that is left",
  async () => {
    await fc.assert(
      fc.asyncProperty(steps(20), actions(20), actions(20), async (before, sent, during) => {
        const { world, remote, agent, others } = await setting();
        for (const step of before) await world.step(step);
        remote.unreachable = false;
        remote.faults.length = 0;
        for (let round = 0; round < 3; round++) await agent.flush();
        for (const step of sent) await world.step(step);
        for (const other of others) await other.flush();
        await dieBehindSwap(remote, agent);
        for (const step of during) if (step.agent > 0) await world.step(step);
        for (const other of [...others, ...others]) await other.flush();
        await thin(remote);
        await dropUnreached(remote);
        const swaps = remote.swaps;
        for (let round = 0; round < 3; round++) await agent.flush();
        expect([remote.swaps, agent.replaced, agent.trouble, agent.vfs.pending().files]).toEqual([
          swaps,
          0,
          undefined,
          0,
        ]);
        expect(await world.faults()).toEqual([]);
      }),
      runs,
    );
  },
  timeLimit,
);
