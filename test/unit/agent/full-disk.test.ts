/** An agent whose disk became full while the bucket was away. */
import { expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { SimulatedAgent } from "../../support/simulated-agent.ts";
import { createBucket } from "../../support/test-bucket.ts";

test("a large epoch makes room once it is published, although that takes many records in the journal", async () => {
  const remote = new MemoryRemote();
  await createBucket(remote);
  const agent = await SimulatedAgent.start(remote, "a", 10, systemClock);
  const disk = agent.image();
  await agent.restartOn(disk);
  remote.unreachable = true;
  // Their records take 300 KB, five segments.
  for (let at = 0; at < 12_000; at++) await agent.mount.create(`f${at}`, Buffer.from("some bytes"));
  const full = disk.used;
  disk.capacity = full;
  await expect(agent.mount.create("more", Buffer.alloc(100_000))).rejects.toThrow("ENOSPC");
  remote.unreachable = false;
  await agent.flush();
  expect(agent.trouble).toBeUndefined();
  expect(agent.vfs.pending().files).toBe(0);
  await expect.poll(() => disk.used).toBeLessThan(full / 2);
});
