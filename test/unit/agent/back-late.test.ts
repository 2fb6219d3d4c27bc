/** Agents that died right behind a swap, and come back when nothing of the history then is left. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { keptCommits } from "../../../src/bucket/history.ts";
import { verifyBucket } from "../../../src/bucket/verify.ts";
import { dropUnreached } from "../../support/drop-unreached.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { MortalRemote } from "../../support/mortal-remote.ts";
import { SimulatedAgent } from "../../support/simulated-agent.ts";
import { createBucket, newWriter, nodesOf, openBucket, pathsOf } from "../../support/test-bucket.ts";
import { dropKept } from "../../support/thinning.ts";

const text = (words: string) => Buffer.from(words);

/** Thins all of the history, and collects what only that had. */
async function forgetHistory(remote: MemoryRemote): Promise<void> {
  const bucket = await openBucket(remote);
  const { commit } = await bucket.head();
  const seqs = [];
  for await (const { seq } of keptCommits(nodesOf(bucket), commit)) seqs.push(seq);
  await dropKept(await newWriter(bucket, 99), seqs);
  await dropUnreached(remote);
}

async function shown(remote: MemoryRemote): Promise<Record<string, string>> {
  const bucket = await openBucket(remote);
  expect((await verifyBucket(bucket, { blocks: remote.blocks })).damage).toEqual([]);
  return pathsOf(bucket, (await bucket.head()).commit.body.tree);
}

/** Both agents know `edited`, `removed` and a directory `d`. */
async function twoAgents() {
  const remote = new MemoryRemote();
  await createBucket(remote);
  const mortal = new MortalRemote(remote);
  const agent = await SimulatedAgent.start(mortal, "a", 11, systemClock);
  const other = await SimulatedAgent.start(remote, "b", 12, systemClock);
  await other.mount.create("edited", text("before"));
  await other.mount.create("removed", text("before"));
  await other.mount.makeDirectory("d");
  await other.flush();
  await agent.catchUp();
  return { remote, mortal, agent, other };
}

/** The agent's epoch: it makes, edits, moves and removes things. */
async function changeAll({ mount }: SimulatedAgent): Promise<void> {
  await mount.edit("edited", () => ({ offset: 0, size: 0, bytes: text("by a") }));
  await mount.unlink("removed");
  for (const name of ["new", "taken", "renamed"]) await mount.create(name, text(`${name} by a`));
  await mount.makeDirectory("d/made");
  await mount.create("d/made/f", text("f by a"));
}

/** Others change all of it again. */
async function changeAgain(agent: SimulatedAgent): Promise<void> {
  const { mount } = agent;
  await agent.catchUp();
  await mount.edit("edited", () => ({ offset: 0, size: 0, bytes: text("by b, later") }));
  await mount.edit("new", () => ({ offset: 0, size: 0, bytes: text("by b, later") }));
  await mount.unlink("taken");
  await mount.rename("renamed", "elsewhere");
  await mount.rename("d/made", "moved");
  await agent.flush();
}

const AGAIN = {
  edited: "by b, later",
  new: "by b, later",
  elsewhere: "renamed by a",
  d: "dir",
  moved: "dir",
  "moved/f": "f by a",
};

/** Kills the agent right after its swap took effect, before it learns of that. */
async function dieBehindSwap(mortal: MortalRemote, agent: SimulatedAgent, how: "kill" | "power loss"): Promise<void> {
  const swapped = mortal.dieBefore("swapped");
  void agent.flush();
  await swapped;
  mortal.dieAt(Infinity);
  await (how === "kill" ? agent.restart() : agent.cutPower(3));
}

describe("an agent that died right after its swap and returns once that history is gone", () => {
  test.each(["kill", "power loss"] as const)(
    "publishes nothing again after a %s, and shows the newest root",
    async (how) => {
      const { remote, mortal, agent, other } = await twoAgents();
      await changeAll(agent);
      await dieBehindSwap(mortal, agent, how);
      await changeAgain(other);
      await forgetHistory(remote);
      for (let round = 0; round < 3; round++) await agent.flush();
      expect(agent.trouble).toBeUndefined();
      expect(agent.replaced).toBe(0);
      expect(await shown(remote)).toEqual(AGAIN);
      expect(agent.vfs.heldEpochs).toEqual([]);
      expect(await agent.mount.readSome("edited")).toEqual(text("by b, later"));
      expect((await agent.mount.list("")).toSorted()).toEqual(["d", "edited", "elsewhere", "moved", "new"]);
      // What follows is published as ever, under the same device.
      await agent.mount.create("after", text("after"));
      await agent.flush();
      expect(await shown(remote)).toEqual({ ...AGAIN, after: "after" });
      expect(agent.replaced).toBe(0);
    },
  );

  test("merges its later changes with what others made of the earlier ones", async () => {
    const { remote, mortal, agent, other } = await twoAgents();
    await changeAll(agent);
    await dieBehindSwap(mortal, agent, "kill");
    await changeAgain(other);
    await agent.mount.edit("renamed", (before) => ({ offset: before.length, bytes: text(", again") }));
    await agent.mount.edit("d/made/f", (before) => ({ offset: before.length, bytes: text(", again") }));
    await agent.mount.edit("taken", (before) => ({ offset: before.length, bytes: text(", again") }));
    await agent.mount.chmod("edited", 0o600);
    await agent.mount.create("d/made/g", text("g by a"));
    await forgetHistory(remote);
    for (let round = 0; round < 3; round++) await agent.flush();
    expect([agent.trouble, agent.replaced]).toEqual([undefined, 0]);
    expect(await shown(remote)).toEqual({
      ...AGAIN,
      elsewhere: "renamed by a, again",
      "moved/f": "f by a, again",
      "moved/g": "g by a",
      // Others removed it, and it was changed since.
      taken: "taken by a, again",
    });
  });

  test("puts new files into its directories, which others moved and changed", async () => {
    const { remote, mortal, agent, other } = await twoAgents();
    await agent.mount.makeDirectory("d/made");
    await agent.mount.makeDirectory("d/made/inner");
    await dieBehindSwap(mortal, agent, "kill");
    await other.catchUp();
    await other.mount.create("d/made/of b", text("of b"));
    await other.mount.rename("d/made", "moved");
    await other.flush();
    await agent.mount.create("d/made/inner/later", text("later"));
    await forgetHistory(remote);
    for (let round = 0; round < 3; round++) await agent.flush();
    expect(await shown(remote)).toMatchObject({ "moved/inner/later": "later", "moved/of b": "of b" });
  });

  test("publishes no zeros in place of bytes that are in the bucket and that power loss took from its disk", async () => {
    for (let seed = 0; seed < 6; seed++) {
      const { remote, mortal, agent } = await twoAgents();
      const large = "much ".repeat(40_000);
      await agent.mount.create("large", text(large));
      const swapped = mortal.dieBefore("swapped");
      void agent.flush();
      await swapped;
      mortal.dieAt(Infinity);
      await agent.cutPower(seed);
      for (let round = 0; round < 3; round++) await agent.flush();
      expect([seed, agent.trouble, agent.replaced]).toEqual([seed, undefined, 0]);
      expect(await shown(remote)).toEqual({ edited: "before", removed: "before", d: "dir", large });
    }
  });

  test("is told from a copy of its state that published other changes under that number", async () => {
    const { remote, agent, other } = await twoAgents();
    const copy = await agent.copy("c", 13);
    await agent.mount.create("mine", text("by the original"));
    await agent.flush();
    await other.catchUp();
    await other.mount.create("theirs", text("theirs"));
    await other.flush();
    await copy.mount.create("of the copy", text("by the copy"));
    await forgetHistory(remote);
    for (let round = 0; round < 3; round++) await copy.flush();
    expect([copy.trouble, copy.replaced]).toEqual([undefined, 1]);
    expect(await shown(remote)).toMatchObject({ mine: "by the original", "of the copy": "by the copy" });
  });
});

test("an agent that lost the content under its changes to a merged file shows both versions as the bucket has them", async () => {
  const { remote, agent, other } = await twoAgents();
  const lines = Array.from({ length: 5_000 }, (_, line) => `line ${line}\n`).join("");
  const size = lines.length;
  await other.mount.create("long.txt", text(lines));
  await other.flush();
  await agent.catchUp();
  await other.mount.edit("long.txt", () => ({ offset: 0, bytes: text("OTHER") }));
  await other.flush();
  await agent.mount.edit("long.txt", () => ({ offset: size, bytes: text("first\n") }));
  const change = () => agent.mount.edit("long.txt", () => ({ offset: size + 6, bytes: text("second\n") }));
  remote.beforeSwap = async () => {
    remote.beforeSwap = async () => {};
    await change();
  };
  await agent.flush();
  await dropUnreached(remote);
  await agent.flush();
  const inBucket = await shown(remote);
  const [copy = "", ...rest] = Object.keys(inBucket).filter((path) => path.startsWith("long ("));
  expect(rest).toEqual([]);
  expect(inBucket).toMatchObject({
    "long.txt": `OTHER${lines.slice(5)}first\n`,
    [copy]: expect.stringContaining("second"),
  });
  for (const path of ["long.txt", copy]) {
    expect((await agent.mount.show(path))?.contents.toString()).toBe(inBucket[path]);
  }
});
