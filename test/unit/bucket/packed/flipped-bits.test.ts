/** Bits that flip on the way from the store: what was read so is not remembered. */
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { RetryReader } from "../../../../src/blocks/retry-reader.ts";
import { VerifiedReader } from "../../../../src/blocks/verified-reader.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { createBucket } from "../../../support/test-bucket.ts";

test("a commit object damaged on the way is read again when a block in it does not match its hash", async () => {
  const store = new MemoryObjectStore();
  const ports = { clock: systemClock, random: seededRandom(3) };
  const made = await createBucket(new PackedRemote(store, ports));
  const root = (await made.current())?.commit;
  let flips = 1;
  const { getTail } = MemoryObjectStore.prototype;
  store.getTail = async (...where) => {
    const tail = await getTail.apply(store, where);
    // The first block of the object, which is all here: it is small.
    if (flips-- > 0) tail.bytes[40] = (tail.bytes[40] ?? 0) ^ 1;
    return tail;
  };
  const remote = new PackedRemote(store, ports);
  const blocks = new RetryReader(new VerifiedReader(remote.blocks), {
    ...ports,
    forget: () => remote.forgetPlacement(),
  });
  const wanted = root === undefined ? [] : [root.cid, root.body.tree, root.body.genesis];
  expect((await blocks.getMany(wanted)).size).toBe(3);
  expect(flips).toBeLessThan(0);
});
