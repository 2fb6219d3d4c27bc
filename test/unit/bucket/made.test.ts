/** Making a bucket, and what is there when that was cut short. */
import { expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { PackedRemote } from "../../../src/bucket/packed/packed-remote.ts";
import { MemoryObjectStore } from "../../../src/objects/memory-object-store.ts";
import { createBucket, openBucket } from "../../support/test-bucket.ts";

test("a bucket whose creation stopped right after its first root can be opened", async () => {
  const store = new MemoryObjectStore();
  const ports = { clock: systemClock, random: systemRandom };
  const made = await createBucket(new PackedRemote(store, ports));
  await store.delete("genesis");
  const opened = await openBucket(new PackedRemote(store, ports));
  expect(opened.genesis.cid).toBe(made.genesis.cid);
  expect((await opened.current())?.commit.body.genesis).toBe(made.genesis.cid);
});
