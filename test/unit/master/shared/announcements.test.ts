/** Masters that share an arbiter but have different leases. */
import { beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { SqliteArbiter } from "../../../../src/arbiter/sqlite-arbiter.ts";
import type { Wallet } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { RootAlarm } from "../../../../src/master/roots/root-alarm.ts";
import { SwapGate } from "../../../../src/master/roots/swap-gate.ts";
import { openSharedStorage } from "../../../../src/master/shared/shared-storage.ts";
import type { MasterStorage } from "../../../../src/master/storage.ts";
import { systemDatabases } from "../../../../src/objects/databases.ts";
import { MemoryMasterObjects } from "../../../../src/simulate/master/memory-master-objects.ts";
import { CommitChain } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { kept } from "../../../support/kept-arbiter.ts";

const DAY = 86_400;
const SELF = { compareAndSwap: true, version: "1.2.3" };
let chain: CommitChain;
let owner: Wallet;
beforeAll(async () => {
  chain = await CommitChain.create();
  owner = chain.owner.wallet;
});

test("a collection by a master with a shorter lease takes an upload that another master holds for longer", async () => {
  const { open, clock } = world();
  const [short, long] = [await open(30), await open(DAY)];
  const published = chain.make("one", undefined);
  await (await long.stores.of(owner)).put(published.blocks);
  await long.roots.swap({ owner, bucket: "demo" }, undefined, published.commit.cid);
  const upload = chain.make("two", published);
  const kept = upload.blocks.filter(({ cid }) => !published.blocks.some((block) => block.cid === cid));
  const cids = kept.map(({ cid }) => cid);
  const blocks = await long.stores.of(owner);
  await blocks.put(kept);
  await blocks.lease(cids);
  expect(await blocks.has(cids)).toEqual(new Set(cids));
  for (let collections = 0; collections < 2; collections++) {
    await clock.advance(31_000);
    await collect(short, clock);
  }
  await clock.advance(60_001);
  expect(await blocks.has(cids)).toEqual(new Set());
  // What is published stays.
  const reached = published.blocks.map(({ cid }) => cid);
  expect(await blocks.has(reached)).toEqual(new Set(reached));
});

test("a master does not start beside one with another lease, and says which", async () => {
  const { open } = world();
  const first = (await open(DAY)).others;
  await first?.join(SELF);
  first?.announce({ ...SELF, origin: "https://a.example" });
  const other = await open(30);
  await expect(other.others?.join(SELF)).rejects.toMatchObject({
    code: "config_invalid",
    message: "The master https://a.example uses this arbiter with --lease 24h, this one with 30s.",
    hint: expect.stringContaining("same --lease"),
  });
  await (await open(DAY)).others?.join(SELF);
});

test("of two masters that start at once with different leases, at most one serves", async () => {
  const { open } = world();
  const both = [await open(DAY), await open(30)];
  const started = await Promise.allSettled(both.map(({ others }) => others?.join(SELF)));
  expect(started.filter(({ status }) => status === "fulfilled").length).toBeLessThan(2);
});

test("a master warns when it starts beside one with other rules", async () => {
  const { open, log, arbiter } = world();
  const warnings = vi.spyOn(log, "warn");
  const first = (await open(DAY)).others;
  const rules = "--quota=1048576,--public-blocks";
  await first?.join({ ...SELF, rules });
  first?.announce({ ...SELF, rules, origin: "https://a.example" });
  await arbiter.announce({ ...SELF, id: "of an earlier version", origin: "https://b.example" });
  await (await open(DAY)).others?.join({ ...SELF, rules });
  expect(warnings).not.toHaveBeenCalled();
  await (await open(DAY)).others?.join({ ...SELF, rules: "" });
  expect(warnings.mock.calls.map(([message]) => message)).toContain(
    "The master https://a.example serves the same buckets with --quota=1048576 --public-blocks, this one with no quota and no public blocks. Give all masters the same.",
  );
});

test("the lease may change once the other masters have ended", async () => {
  const { open, arbiter } = world();
  const before = await open(DAY);
  await before.others?.join(SELF);
  before.others?.announce({ ...SELF, origin: "https://a.example" });
  await before[Symbol.asyncDispose]();
  expect(await arbiter.masters(60)).toEqual([]);
  await (await open(30)).others?.join(SELF);
});

test("a master that was killed counts for a minute", async () => {
  const { open, arbiter, clock } = world();
  await arbiter.announce({ ...SELF, id: "killed", origin: "https://a.example", leaseSeconds: DAY });
  const { others } = await open(30);
  await clock.advance(59_000);
  await expect(others?.join(SELF)).rejects.toMatchObject({ code: "config_invalid" });
  await clock.advance(2_000);
  await others?.join(SELF);
});

test("a master of an earlier version, which tells no lease, keeps none from starting", async () => {
  const { open, arbiter } = world();
  await arbiter.announce({ ...SELF, id: "old", origin: "https://a.example" });
  const { others } = await open(30);
  await others?.join(SELF);
  expect((await arbiter.masters(60)).map(({ id }) => id)).toEqual(["old", others?.id]);
});

test("a master that ends does not wait for an arbiter that is gone", async () => {
  const { open, arbiter, clock } = world();
  const storage = await open(DAY);
  await storage.others?.join(SELF);
  arbiter.withdraw = () => new Promise(() => {});
  let isOver = false;
  void storage[Symbol.asyncDispose]().then(() => (isOver = true));
  await expect.poll(async () => clock.advance(1_000).then(() => isOver)).toBe(true);
});

function world() {
  const clock = new ManualClock();
  const objects = new MemoryMasterObjects(() => Number(clock.nowNs() / 1_000_000n));
  const arbiter = new SqliteArbiter("", clock);
  const log = { ...silentLog };
  const open = async (leaseSeconds: number) => {
    const ports = { clock, random: systemRandom, log, databases: systemDatabases };
    const storage = await openSharedStorage({
      ...ports,
      arbiter: kept(arbiter),
      objects,
      cacheDir: undefined,
      leaseSeconds,
    });
    onTestFinished(() => storage[Symbol.asyncDispose]());
    return storage;
  };
  return { clock, arbiter, log, open };
}

function collect(storage: MasterStorage, clock: ManualClock) {
  const { roots } = storage;
  const rest = { gate: new SwapGate(), alarm: new RootAlarm(silentLog), signal: new AbortController().signal };
  return storage.collect({ roots, clock, ...rest }, owner, false);
}
