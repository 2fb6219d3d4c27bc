/** Whether arbiter and store belong together: wrong addresses, copies of either, and a store that was set back. */
import { beforeAll, describe, expect, test, vi } from "vitest";
import { SqliteArbiter } from "../../../../src/arbiter/sqlite-arbiter.ts";
import type { Wallet } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { RootAlarm } from "../../../../src/master/roots/root-alarm.ts";
import {
  BEATS_OBJECT,
  IDENTITY_OBJECT,
  objectOf,
  PAST_OBJECT,
  type MasterObjects,
} from "../../../../src/master/shared/pack-objects.ts";
import { CommitChain } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { RestorableArbiter } from "../../../support/restorable-arbiter.ts";
import { collectAt, packsOf, publishAt, SILENT_MS, storageWorld } from "../../../support/shared-storages.ts";
import { startTestMaster } from "../../../support/test-master.ts";

const BEAT_MS = 60_000;
let chain: CommitChain;
let owner: Wallet;
beforeAll(async () => {
  chain = await CommitChain.create();
  owner = chain.owner.wallet;
});

describe("the store of other masters", () => {
  test("is refused by an arbiter that has its own, before anything is changed", async () => {
    const [production, staging] = [storageWorld(), storageWorld()];
    {
      await using other = await staging.open(staging.arbiter);
      await publishAt(other, chain);
      await staging.clock.advance(10 * BEAT_MS);
    }
    await using _first = await production.open(production.arbiter);
    const before = await stateOf(production.arbiter);
    const objects = await allIn(staging.objects);
    const refused = { code: "config_invalid", hint: expect.stringContaining("Check both addresses") };
    await expect(staging.open(production.arbiter)).rejects.toMatchObject(refused);
    await expect(staging.open(production.arbiter, true)).rejects.toMatchObject(refused);
    expect(await stateOf(production.arbiter)).toEqual(before);
    expect(await allIn(staging.objects)).toEqual(objects);
  });

  test("is refused when it is new, and the arbiter's log still empty: one --store has a typo", async () => {
    const [right, typo] = [storageWorld(), storageWorld()];
    await using _first = await right.open(right.arbiter);
    await expect(typo.open(right.arbiter)).rejects.toMatchObject({ code: "config_invalid" });
    expect(await allIn(typo.objects)).toEqual(new Map());
  });

  test("is refused to one of two masters that start at once on a new arbiter", async () => {
    const [one, other] = [storageWorld(), storageWorld()];
    const started = await Promise.allSettled([one.open(one.arbiter), other.open(one.arbiter)]);
    expect(started.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const each of started) if (each.status === "fulfilled") await each.value[Symbol.asyncDispose]();
  });
});

describe("an arbiter and a store of earlier versions, without identities", () => {
  test("belong together from the first start on, if the store has a pack of the log", async () => {
    const { open, arbiter, objects } = await earlier();
    await objects.of(owner).putNew(objectOf("a".repeat(32)), [Buffer.from("pack")]);
    {
      await using storage = await open(arbiter);
      expect(storage.rolledBack.size).toBe(0);
    }
    const { id } = await arbiter.store();
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(await textOf(objects, IDENTITY_OBJECT)).toBe(id);
    await objects.of(owner).delete(objectOf("a".repeat(32)));
    await using again = await open(arbiter);
    expect(again.rolledBack.size).toBe(0);
  });

  test("do not belong together if others' packs are there, and none of the log", async () => {
    const { open, arbiter, objects } = await earlier();
    await objects.of(owner).putNew(objectOf("b".repeat(32)), [Buffer.from("pack")]);
    const before = await allIn(objects);
    await expect(open(arbiter)).rejects.toMatchObject({ code: "config_invalid" });
    expect(await allIn(objects)).toEqual(before);
  });

  test("older masters, which write beats even if not accepted, and new ones do not disturb each other", async () => {
    const { clock, arbiter, objects, open } = storageWorld();
    await using storage = await open(arbiter);
    await publishAt(storage, chain);
    const before = await arbiter.incarnation();
    const beatAsBefore = async () => {
      const there = await objects.top.get(BEATS_OBJECT);
      const count = await arbiter.beat(Number(await textOf(objects, BEATS_OBJECT)));
      await objects.top.putIfMatch(BEATS_OBJECT, [Buffer.from(String(count))], there?.token ?? "");
    };
    for (let beat = 0; beat < 5; beat++) {
      await beatAsBefore();
      await clock.advance(BEAT_MS);
    }
    expect(await arbiter.incarnation()).toBe(before);
    expect(await textOf(objects, BEATS_OBJECT)).toBe(String((await arbiter.store()).told + 1));
    await collectAt(storage, owner, clock);
  });

  /** Its log names one pack. */
  async function earlier() {
    const world = storageWorld();
    const add = [{ pack: "a".repeat(32), bytes: 4, rows: 1 }];
    await world.arbiter.packs.change(owner, { add, condemn: [], begunMs: 0, patienceMs: Infinity });
    await world.objects.top.putNew(PAST_OBJECT, [Buffer.from(await world.arbiter.incarnation())]);
    return world;
  }
});

describe("a copy of the arbiter that is served with the same store", () => {
  test("does not disturb the arbiter, and collects nothing itself", async () => {
    const { clock, objects, open, copied, database } = await copiedWorld();
    await using production = await open(database.arbiter);
    const before = await database.arbiter.incarnation();
    await using drill = await open(copied);
    for (let beat = 0; beat < 5; beat++) await clock.advance(BEAT_MS);
    expect(await database.arbiter.incarnation()).toBe(before);
    const incarnation = await copied.incarnation();
    await clock.advance(BEAT_MS);
    expect(await copied.incarnation()).toBe(incarnation);
    await expect(collectAt(drill, owner, clock)).rejects.toMatchObject({ code: "root_rolled_back" });
    await collectAt(production, owner, clock);
    expect(await textOf(objects, PAST_OBJECT)).toBe(before);
  });

  test("is not accepted while the arbiter counts, and is once that is silent", async () => {
    const { clock, objects, open, copied, database } = await copiedWorld();
    const production = await open(database.arbiter);
    const packs = await packsOf(objects, owner);
    const refused = { code: "state_in_use", hint: expect.stringContaining("copy of the store") };
    await expect(open(copied, true)).rejects.toMatchObject(refused);
    await clock.advance(SILENT_MS);
    await expect(open(copied, true)).rejects.toMatchObject(refused);
    expect(await packsOf(objects, owner)).toEqual(packs);
    await collectAt(production, owner, clock);
    await production[Symbol.asyncDispose]();
    await clock.advance(SILENT_MS);
    await using accepted = await open(copied, true);
    expect(accepted.rolledBack.size).toBe(0);
    await collectAt(accepted, owner, clock);
  });

  test("a master beside which another arbiter was accepted collects nothing, and says so", async () => {
    const log = { ...silentLog, error: vi.fn<(message: string) => void>() };
    const { clock, arbiter, objects, open } = storageWorld(new ManualClock(), log);
    const storage = await open(arbiter);
    await publishAt(storage, chain);
    const master = await startTestMaster({ storage, clock });
    const health = async () => (await (await fetch(`${master.origin}/health`)).json()) as object;
    expect(await health()).toEqual({ status: "ok", arbiter: "ok", store: "ok" });
    const there = await objects.top.get(PAST_OBJECT);
    await objects.top.putIfMatch(PAST_OBJECT, [Buffer.from("another")], there?.token ?? "");
    await clock.advance(BEAT_MS);
    await expect.poll(health).toEqual({ status: "ok", arbiter: "ok", store: "ok", collections: "stopped" });
    const beats = await textOf(objects, BEATS_OBJECT);
    await clock.advance(BEAT_MS);
    expect(await textOf(objects, BEATS_OBJECT)).toBe(beats);
    const told = log.error.mock.calls.filter(([message]) => message.includes("another arbiter was accepted"));
    expect(told).toHaveLength(1);
    await expect(collectAt(storage, owner, clock, new RootAlarm(silentLog))).rejects.toMatchObject({
      code: "root_rolled_back",
    });
    await master.stop();
  });

  /** A copy that lacks a pack which the arbiter has, and the arbiter. */
  async function copiedWorld() {
    const { clock, objects, open } = storageWorld();
    const database = await RestorableArbiter.create(clock);
    await using storage = await open(database.arbiter);
    const one = await publishAt(storage, chain);
    const path = await database.keepCopy();
    await publishAt(storage, chain, one);
    for (let beat = 0; beat < 3; beat++) await clock.advance(BEAT_MS);
    return { clock, objects, open, database, copied: new SqliteArbiter(path, clock) };
  }
});

describe("a store that was set back to an older state", () => {
  test("shows at the start of a master, whose cache then misses what the store lost", async () => {
    const { clock, open, database, setBack, lost, cids } = await setBackWorld();
    await setBack();
    await using again = await open(database.arbiter);
    expect([...again.rolledBack.keys()]).toEqual([owner]);
    const blocks = await again.stores.of(owner);
    expect(await blocks.has(cids)).not.toContain(lost);
    await expect(collectAt(again, owner, clock)).rejects.toMatchObject({ code: "root_rolled_back" });
    await clock.advance(SILENT_MS);
    await using accepted = await open(database.arbiter, true);
    expect(accepted.rolledBack.size).toBe(0);
    for (let beat = 0; beat < 3; beat++) await clock.advance(BEAT_MS);
    await using later = await open(database.arbiter);
    expect(later.rolledBack.size).toBe(0);
  });

  test("shows within a minute to masters that run", async () => {
    const { clock, open, database, setBack, lost, cids } = await setBackWorld();
    await using one = await open(database.arbiter);
    await using other = await open(database.arbiter);
    for (const storage of [one, other]) expect(await (await storage.stores.of(owner)).has(cids)).toContain(lost);
    await setBack();
    await clock.advance(BEAT_MS);
    for (const storage of [one, other]) {
      await expect.poll(async () => (await storage.stores.of(owner)).has(cids)).not.toContain(lost);
      await expect(collectAt(storage, owner, clock)).rejects.toMatchObject({ code: "root_rolled_back" });
    }
  });

  test("a beat that reached the store late does not count as a step back", async () => {
    const { clock, arbiter, objects, open } = storageWorld();
    await using one = await open(arbiter);
    await using other = await open(arbiter);
    await publishAt(one, chain);
    const get = objects.top.get.bind(objects.top);
    // While one master waits for what the store tells, another one beats twice.
    vi.spyOn(objects.top, "get").mockImplementation(async (name) => {
      const there = await get(name);
      if (name !== BEATS_OBJECT) return there;
      vi.mocked(objects.top.get).mockImplementation(get);
      for (let beat = 0; beat < 2; beat++) await collectAt(other, owner, clock);
      return there;
    });
    const before = await arbiter.incarnation();
    await collectAt(one, owner, clock);
    await collectAt(one, owner, clock);
    expect(await arbiter.incarnation()).toBe(before);
  });

  /** A store with two packs, and how it is set back to when it had one. The log and a cache know both. */
  async function setBackWorld() {
    const { clock, objects, open } = storageWorld();
    const database = await RestorableArbiter.create(clock);
    await using storage = await open(database.arbiter);
    const one = await publishAt(storage, chain);
    const [packs, beats] = [await packsOf(objects, owner), await textOf(objects, BEATS_OBJECT)];
    const two = await publishAt(storage, chain, one);
    for (let beat = 0; beat < 3; beat++) await clock.advance(BEAT_MS);
    const setBack = async () => {
      for (const name of await packsOf(objects, owner)) if (!packs.includes(name)) await objects.of(owner).delete(name);
      const there = await objects.top.get(BEATS_OBJECT);
      await objects.top.putIfMatch(BEATS_OBJECT, [Buffer.from(beats ?? "")], there?.token ?? "");
    };
    return { clock, open, database, setBack, lost: two.commit.cid, cids: two.blocks.map(({ cid }) => cid) };
  }
});

async function stateOf(arbiter: SqliteArbiter) {
  return {
    incarnation: await arbiter.incarnation(),
    store: await arbiter.store(),
    owners: await arbiter.packs.owners(),
  };
}

/** What belongs to no owner, by name. */
async function allIn(objects: MasterObjects): Promise<Map<string, string | undefined>> {
  const all = new Map<string, string | undefined>();
  for await (const { name } of objects.top.list("")) all.set(name, await textOf(objects, name));
  return all;
}

async function textOf(objects: MasterObjects, name: string): Promise<string | undefined> {
  const there = await objects.top.get(name);
  return there && Buffer.from(there.bytes).toString("utf8");
}
