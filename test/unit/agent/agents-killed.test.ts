/** Agents that die in the midst of publishing, and agents that share a state folder. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { log } from "../../../src/bucket/history.ts";
import { verifyBucket } from "../../../src/bucket/verify.ts";
import { noise } from "../../support/bytes.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { MortalRemote } from "../../support/mortal-remote.ts";
import { SimulatedAgent } from "../../support/simulated-agent.ts";
import { createBucket, openBucket, pathsOf } from "../../support/test-bucket.ts";

/** Many chunks of text. */
const LARGE = Buffer.from(noise(40_000, 1)).toString("base64");
const MINE = { d: "dir", "d/changed": "old and new", "d/renamed": "stays", "d/small": "small", large: LARGE };

test("an agent that dies at any step of publishing publishes its epoch once, and goes on", async () => {
  const lived: string[] = [];
  for (let step = 0; ; step++) {
    const remote = new MemoryRemote();
    await createBucket(remote);
    const other = await SimulatedAgent.start(remote, "b", 12, systemClock);
    const mortal = new MortalRemote(remote);
    const agent = await SimulatedAgent.start(mortal, "a", 11, systemClock);
    await prepare(agent);
    await other.mount.create("theirs", Buffer.from("theirs"));
    await other.flush();

    const death = mortal.dieAt(step);
    const flushed = agent.flush().then(() => "published" as const);
    const isDead = (await Promise.race([flushed, death])) !== "published";
    lived.splice(0, Infinity, ...mortal.moments);
    mortal.dieAt(Infinity);
    if (isDead) await agent.restart();
    await agent.mount.create("after", Buffer.from("after"));
    await agent.flush();
    await agent.flush();

    const bucket = await openBucket(remote);
    const head = (await bucket.current())?.commit;
    if (head === undefined) throw new Error("the bucket has no root");
    expect(await pathsOf(bucket, head.body.tree)).toEqual({ ...MINE, theirs: "theirs", after: "after" });
    const seqs: number[] = [];
    for await (const { body } of log(bucket, head)) seqs.push(body.seq);
    // The bucket, one epoch of the other's, and four of this agent's.
    expect(seqs).toEqual([5, 4, 3, 2, 1]);
    expect((await verifyBucket(bucket, { blocks: remote.blocks })).damage).toEqual([]);
    if (!isDead) break;
  }
  expect(new Set(lived)).toEqual(
    new Set(["read root", "put content", "prepare", "put block", "prepared", "swap", "swapped"]),
  );
});

/** One epoch that is published, and changes of all kinds on top. */
async function prepare({ mount, flush }: Pick<SimulatedAgent, "mount" | "flush">): Promise<void> {
  await mount.makeDirectory("d");
  await mount.create("d/changed", Buffer.from("old"));
  await mount.create("d/named", Buffer.from("stays"));
  await mount.create("d/gone", Buffer.from("gone"));
  await flush();
  await mount.edit("d/changed", (before) => ({ offset: before.length, bytes: Buffer.from(" and new") }));
  await mount.rename("d/named", "d/renamed");
  await mount.unlink("d/gone");
  await mount.create("d/small", Buffer.from("small"));
  await mount.create("large", Buffer.from(LARGE));
}

describe("two agents on copies of one state folder", () => {
  test.each(["clean", "dirty", "sealed"])(
    "that was %s lose nothing, and at least one of them gets a new device",
    async (state) => {
      const remote = new MemoryRemote();
      await createBucket(remote);
      const agent = await SimulatedAgent.start(remote, "a", 11, systemClock);
      await agent.mount.create("before", Buffer.from("before"));
      await agent.flush();
      if (state !== "clean") await agent.mount.create("both", Buffer.from("both"));
      remote.unreachable = true;
      if (state === "sealed") await agent.flush();
      remote.unreachable = false;
      const copy = await agent.copy("c", 13);
      const agents = [agent, copy];
      for (let round = 0; round < 3; round++) {
        for (const { name, mount } of agents) {
          await mount.create(`${name}${round}`, Buffer.from(`${name}${round}`));
          await mount.edit("before", () => ({ offset: 0, size: 0, bytes: Buffer.from(`${name} in ${round}`) }));
        }
        for (const { flush } of [...agents, ...agents, ...agents]) await flush();
      }
      expect(agents.map(({ trouble }) => trouble)).toEqual([undefined, undefined]);
      expect(new Set(agents.map(({ base }) => base)).size).toBe(1);
      expect(agents.filter(({ replaced }) => replaced > 0).length).toBeGreaterThan(0);
      const bucket = await openBucket(remote);
      const paths = await pathsOf(bucket, (await bucket.current())?.commit.body.tree ?? agent.vfs.baseState().tree);
      const held = Object.values(paths);
      const made = [0, 1, 2].flatMap((round) => [`a${round}`, `c${round}`]);
      expect(held).toEqual(expect.arrayContaining([...made, ...(state === "clean" ? [] : ["both"])]));
      expect(held.filter((text) => text === "both").length).toBe(state === "clean" ? 0 : 1);
      expect(held).toEqual(expect.arrayContaining(["a in 2", "c in 2"]));
      expect((await verifyBucket(bucket, { blocks: remote.blocks })).damage).toEqual([]);
    },
  );
});
