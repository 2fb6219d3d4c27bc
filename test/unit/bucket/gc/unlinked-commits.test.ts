/** Collecting where a commit on the way to old ancestors is lost or damaged. */
import { expect, test } from "vitest";
import { SynclineError } from "../../../../src/base/errors.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import type { BlockReader } from "../../../../src/blocks/block-store.ts";
import { VerifiedReader } from "../../../../src/blocks/verified-reader.ts";
import { Bucket } from "../../../../src/bucket/bucket.ts";
import { collect } from "../../../../src/bucket/gc/collector.ts";
import { keptCommits } from "../../../../src/bucket/history.ts";
import { repairObjects } from "../../../../src/bucket/packed/object-repair.ts";
import { verifyBucket } from "../../../../src/bucket/verify.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import { noise } from "../../../support/bytes.ts";
import { collectIn, EAGER, faultsOf, HOUR_MS, Hours, newStore, opened } from "../../../support/collected-store.ts";
import { nodesOf, seededStream } from "../../../support/test-bucket.ts";

/** A bucket whose skip links lead to two commits that are not retained: the one at seq 80 to that at 64. */
async function longHistory(hours: Hours) {
  const store = await newStore(hours);
  const agent = await opened(store, hours);
  for (let round = 0; round < 85; round++) {
    await agent.put("changing", noise(3_000, round));
    hours.ms += 20 * 24 * HOUR_MS;
  }
  await collectIn(store, hours, EAGER);
  const { bucket } = await opened(store, hours);
  const { commit } = await bucket.head();
  const way: Cid[] = [];
  for (let at = commit; at.body.skip !== undefined; at = await bucket.commit(at.body.skip)) way.push(at.body.skip);
  const retained: Cid[] = [];
  for await (const { cid } of keptCommits(nodesOf(bucket), commit)) retained.push(cid);
  const [upper, lower, ...rest] = way.filter((cid) => !retained.includes(cid));
  if (upper === undefined || lower === undefined || rest.length > 0) throw new Error("the history is not as planned");
  return {
    store,
    agent,
    upper,
    lower,
    bytes: await bucket.blocks.get(upper),
    ancestor: await bucket.blocks.get(lower),
  };
}

/** Collects with a reader that no longer finds this block. */
async function collectWithout(store: ObjectStore, hours: Hours, lost: Cid): Promise<void> {
  const { remote, context } = await opened(store, hours);
  const verified = new VerifiedReader(remote.blocks);
  const getMany = async (cids: readonly Cid[]) => {
    if (cids.includes(lost)) throw new SynclineError("block_not_found", "It is gone.");
    return verified.getMany(cids);
  };
  const blocks: BlockReader = { get: async (cid) => (await getMany([cid])).get(cid) ?? new Uint8Array(), getMany };
  const { writer, clock, random } = context;
  await collect({ bucket: await Bucket.open(remote, { blocks }), store, writer, clock, random, ...EAGER });
}

async function holdersOf(store: ObjectStore, bytes: Uint8Array): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list("")) {
    const object = await store.get(name);
    if (object !== undefined && Buffer.from(object.bytes).includes(Buffer.from(bytes))) names.push(name);
  }
  return names;
}

test.each(["lost", "damaged"])("what a %s commit led to stays, and is found again after a repair", async (how) => {
  const hours = new Hours();
  const { store, agent, upper, lower, bytes, ancestor } = await longHistory(hours);
  const holders = await holdersOf(store, ancestor);
  if (how === "damaged") {
    for (const name of await holdersOf(store, bytes)) {
      const object = await store.get(name);
      const at = Buffer.from(object?.bytes ?? []).indexOf(bytes) + 40;
      const flipped = Uint8Array.from(object?.bytes ?? []).map((byte, index) => (index === at ? byte ^ 1 : byte));
      await store.putIfMatch(name, [flipped], object?.token ?? "");
    }
  }
  // What was stored with them becomes garbage, so that their packs go. From seq 96 on, neither is needed.
  for (let round = 0; round < 2; round++) {
    await agent.put("changing", noise(3_000, 100 + round));
    hours.ms += 100 * 24 * HOUR_MS;
    if (how === "lost") await collectWithout(store, hours, upper);
    else await collectIn(store, hours, EAGER);
  }
  const left = await holdersOf(store, ancestor);
  expect(left.length).toBeGreaterThan(0);
  expect(left.some((name) => holders.includes(name))).toBe(false);

  const { remote, bucket } = await opened(store, hours);
  const { lost } = await verifyBucket(bucket, { blocks: remote.blocks });
  expect(lost).toEqual([upper]);
  const get = async () => bytes;
  const local: BlockReader = { get, getMany: async (cids) => new Map(cids.map((cid) => [cid, bytes])) };
  await repairObjects(remote, { random: seededStream(7), local, wanted: lost });
  expect(await faultsOf(store, hours)).toEqual([]);
  const again = await opened(store, hours);
  expect((await again.bucket.commit(upper)).body.skip).toBe(lower);
  expect((await again.bucket.commit(lower)).body.seq).toBe(64);
  expect(await again.put("changing", noise(10, 1))).toBe("published");
});
