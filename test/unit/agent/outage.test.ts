/** A bucket that is away for long while somebody writes on and flushes again and again. */
import { expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import type { Ino } from "../../../src/base/ids.ts";
import { treeOf } from "../../../src/simulate/judges/shown-tree.ts";
import { noise } from "../../support/bytes.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { SimulatedAgent } from "../../support/simulated-agent.ts";
import { createBucket } from "../../support/test-bucket.ts";

test("during an outage one epoch waits as sealed and the next takes all later writes: each drains in one commit", async () => {
  const remote = new MemoryRemote();
  const bucket = await createBucket(remote);
  const agent = await SimulatedAgent.start(remote, "a", 11, systemClock);
  await agent.mount.create("log", noise(30_000, 0));
  await agent.flush();
  const before = (await bucket.current())?.commit.body.seq ?? 0;
  remote.unreachable = true;
  // What has no name any more is forgotten, as a kernel does.
  const unnamed: Ino[] = [];
  agent.vfs.watchOrphans((ino) => void unnamed.push(ino));
  let written = 0;
  const writeOn = async (times: number) => {
    for (let count = 0; count < times; count++) {
      written++;
      await agent.mount.edit("log", () => ({ offset: 0, bytes: noise(30_000, written) }));
      await agent.mount.create(".saved", noise(70_000, written));
      await agent.mount.rename(".saved", "saved");
      await agent.flush();
      expect(agent.vfs.heldEpochs.length).toBeLessThanOrEqual(2);
    }
    for (const ino of unnamed.splice(0)) agent.vfs.forget(ino);
    agent.vfs.persist();
    await agent.vfs.checkpoint();
  };
  await writeOn(30);
  await writeOn(170);
  // As much as is different, not as much as was ever written, 20 MB. Files that nobody needs go a little later.
  await expect.poll(() => agent.stateBytes).toBeLessThan(2_000_000);
  remote.unreachable = false;
  while (agent.vfs.heldEpochs.length > 0) {
    await agent.flush();
    expect(agent.trouble).toBeUndefined();
  }
  const after = (await bucket.current())?.commit.body.seq ?? 0;
  expect(after - before).toBe(2);
  const other = await SimulatedAgent.start(remote, "b", 12, systemClock);
  expect(await treeOf(other.mount)).toEqual(await treeOf(agent.mount));
});
