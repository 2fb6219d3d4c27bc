/** An arbiter that was restored or replaced, over a store that holds newer packs. */
import { beforeAll, describe, expect, test, vi } from "vitest";
import { PACK_STATES, REVOKED_KEPT_S } from "../../../../src/arbiter/arbiter.ts";
import { SqliteArbiter } from "../../../../src/arbiter/sqlite-arbiter.ts";
import type { Wallet } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { signToken } from "../../../../src/crypto/token.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { RootAlarm } from "../../../../src/master/roots/root-alarm.ts";
import type { MasterStorage } from "../../../../src/master/storage.ts";
import { noise } from "../../../support/bytes.ts";
import { blockOf, CommitChain, type MadeCommit } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import type { MemoryMasterObjects } from "../../../../src/simulate/master/memory-master-objects.ts";
import { RestorableArbiter } from "../../../support/restorable-arbiter.ts";
import { collectAt, packsOf, publishAt, SILENT_MS, storageWorld as world } from "../../../support/shared-storages.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { alice, startTestMaster, type TestMaster } from "../../../support/test-master.ts";

const BEAT_MS = 60_000;
let chain: CommitChain;
let owner: Wallet;
beforeAll(async () => {
  chain = await CommitChain.create();
  owner = chain.owner.wallet;
});

describe("a storage that masters share", () => {
  test("belongs to the arbiter that came first, also after a restart", async () => {
    const { open, clock, arbiter } = world();
    await using first = await open(arbiter);
    await publish(first);
    await using again = await open(arbiter);
    expect(again.rolledBack.size).toBe(0);
    expect((await collect(again, clock)).blocks).toBe(0);
  });

  test("with another arbiter, its packs are entered again, and nothing is collected until that is accepted", async () => {
    const { open, clock, arbiter } = world();
    const first = await open(arbiter);
    const commit = await publish(first);
    await first[Symbol.asyncDispose]();
    const restored = new SqliteArbiter("", clock);
    await using second = await open(restored);
    const blocks = await second.stores.of(owner);
    const cids = commit.blocks.map(({ cid }) => cid);
    expect(await blocks.has(cids)).toEqual(new Set(cids));
    expect([...second.rolledBack.keys()]).toEqual([owner]);
    await expect(collect(second, clock)).rejects.toMatchObject({ code: "root_rolled_back" });
    // What the arbiter lost is published again by whoever has it.
    await second.roots.swap({ owner, bucket: "demo" }, undefined, commit.commit.cid);
    await clock.advance(SILENT_MS);
    await using accepted = await open(restored, true);
    expect((await collect(accepted, clock)).blocks).toBe(0);
  });

  test("a server that ignores If-None-Match accepts no other arbiter, however often masters start", async () => {
    const { open, clock, arbiter, objects } = world();
    const { top } = objects;
    const putNew = top.putNew.bind(top);
    vi.spyOn(top, "putNew").mockImplementation(async (name, body, options) => {
      await top.delete(name);
      return putNew(name, body, options);
    });
    {
      await using first = await open(arbiter);
      await publish(first);
    }
    await clock.advance(SILENT_MS);
    const restored = new SqliteArbiter("", clock);
    for (let starts = 0; starts < 2; starts++) {
      await using storage = await open(restored);
      expect([...storage.rolledBack.keys()]).toEqual([owner]);
      await expect(collect(storage, clock)).rejects.toMatchObject({ code: "root_rolled_back" });
    }
    await using accepted = await open(restored, true);
    expect(accepted.rolledBack.size).toBe(0);
  });

  test("an arbiter is accepted only once all packs of the store are entered", async () => {
    const { open, clock, arbiter, objects } = world();
    {
      await using first = await open(arbiter);
      await publish(first);
    }
    await clock.advance(SILENT_MS);
    const restored = new SqliteArbiter("", clock);
    const getTail = vi.spyOn(objects.of(owner), "getTail").mockRejectedValue(new Error("away"));
    await expect(open(restored, true)).rejects.toThrow("away");
    getTail.mockRestore();
    await using again = await open(restored);
    await expect(collect(again, clock)).rejects.toMatchObject({ code: "root_rolled_back" });
  });

  test("an unused store is refused when the log names packs, and taken when it names none", async () => {
    const { open, arbiter } = world();
    const change = { add: [], condemn: [], begunMs: 0, patienceMs: Infinity };
    await arbiter.packs.change(owner, { ...change, add: [{ pack: "a".repeat(32), bytes: 1, rows: 1 }] });
    await expect(open(arbiter)).rejects.toMatchObject({ code: "no_such_path" });
    const other = world();
    await other.arbiter.packs.change(owner, change);
    await using unused = await other.open(other.arbiter);
    expect(unused.rolledBack.size).toBe(0);
  });

  test("an unused store is refused even if a whole page of the log comes before the first pack that is left", async () => {
    const { open, arbiter } = world();
    const { packs } = arbiter;
    const add = [{ pack: "a".repeat(32), bytes: 1, rows: 1 }];
    await packs.change(owner, { add, condemn: [], begunMs: 0, patienceMs: Infinity });
    const last = await packs.after(owner, 0);
    const gone = last.entries.map((entry) => ({ ...entry, pack: "b".repeat(32), state: PACK_STATES.gone }));
    vi.spyOn(packs, "after").mockImplementation(async (_owner, position) =>
      position === 0 ? { ...last, entries: gone, more: true } : last,
    );
    await expect(open(arbiter)).rejects.toMatchObject({ code: "no_such_path" });
  });

  test("an arbiter that is replaced while a master runs stops collections", async () => {
    const { open, clock, arbiter } = world();
    await using storage = await open(arbiter);
    await publish(storage);
    const alarm = new RootAlarm(silentLog);
    arbiter.incarnation = async () => "another";
    await expect(collect(storage, clock, alarm)).rejects.toMatchObject({ code: "root_rolled_back" });
    expect([...alarm.owners]).toEqual([owner]);
    await clock.advance(SILENT_MS);
    await using _accepted = await open(arbiter, true);
    await collect(storage, clock, alarm);
    expect([...alarm.owners]).toEqual([]);
  });

  test("a master that finds its arbiter replaced says so for all owners before it collects", async () => {
    const { open, clock, arbiter } = world();
    const storage = await open(arbiter);
    await publish(storage);
    await using master = await stopped(startTestMaster({ storage, clock }));
    expect(master.rolledBack.size).toBe(0);
    arbiter.incarnation = async () => "another";
    await clock.advance(5_000);
    expect([...master.rolledBack]).toEqual([owner]);
  });

  test("newer roots in the cache of a shared storage raise the alarm, until the table has caught up", async () => {
    const { open, clock, arbiter } = world();
    await using storage = await open(arbiter);
    const one = await publish(storage);
    const alarm = new RootAlarm(silentLog);
    const two = chain.make("two", one);
    await (await storage.stores.of(owner)).swapped("demo", { commit: two.commit.cid, version: 2 });
    await expect(collect(storage, clock, alarm)).rejects.toMatchObject({ code: "root_rolled_back" });
    expect([...alarm.owners]).toEqual([owner]);
    await publish(storage, one);
    await collect(storage, clock, alarm);
    expect([...alarm.owners]).toEqual([]);
  });

  test("an arbiter that was restored while a master runs: packs are entered again, and their blocks are waited for", async () => {
    const { open, clock, arbiter } = world();
    await using storage = await open(arbiter);
    await using other = await open(new SqliteArbiter("", clock));
    const [block] = (await publish(other)).blocks;
    if (block === undefined) throw new Error("no block");
    const blocks = await storage.stores.of(owner);
    await expect(blocks.get(block.cid)).rejects.toMatchObject({ code: "block_not_found" });
    arbiter.incarnation = async () => "restored";
    await expect(blocks.get(block.cid)).rejects.toMatchObject({ code: "store_unreachable" });
    await expect.poll(() => blocks.get(block.cid).catch(() => undefined)).toEqual(block.bytes);
  });

  test("a collection deletes nothing if it is the first to see that the log went back", async () => {
    const { open, clock, objects, leaseSeconds } = world();
    const database = await RestorableArbiter.create(clock);
    const { arbiter } = database;
    await using storage = await open(arbiter);
    const one = await publish(storage);
    await database.keepCopy();
    await using other = await open(arbiter);
    await publish(other, one);
    await (await storage.stores.of(owner)).era();
    await clock.advance(4 * leaseSeconds * 1_000);
    const { lease } = arbiter;
    arbiter.lease = async (job) => {
      await database.restore();
      return lease(job);
    };
    await expect(collect(storage, clock)).rejects.toMatchObject({ code: "root_rolled_back" });
    expect(await packNames(objects)).toHaveLength(2);
  });

  test("a collection disowns no pack if the log went back while it listed the store", async () => {
    const { open, clock, objects, leaseSeconds } = world();
    const database = await RestorableArbiter.create(clock);
    const { arbiter } = database;
    await using storage = await open(arbiter);
    const one = await publish(storage);
    await database.keepCopy();
    await publish(storage, one);
    await clock.advance(4 * leaseSeconds * 1_000);
    const store = objects.of(owner);
    const list = store.list.bind(store);
    store.list = async function* (prefix) {
      yield* list(prefix);
      store.list = list;
      await database.restore();
    };
    await expect(collect(storage, clock)).rejects.toMatchObject({ code: "root_rolled_back" });
    expect(await packNames(objects)).toHaveLength(2);
    const { entries } = await arbiter.packs.after(owner, 0);
    expect(entries.filter(({ state }) => state === PACK_STATES.gone)).toEqual([]);
  });

  test("a copy of the arbiter that is put back shows at the start of a master, which then deletes nothing", async () => {
    const { open, clock, objects, leaseSeconds } = world();
    const database = await RestorableArbiter.create(clock);
    {
      await using storage = await open(database.arbiter);
      const one = await publish(storage);
      await database.keepCopy();
      await publish(storage, one);
      await clock.advance(BEAT_MS);
    }
    await clock.advance(4 * leaseSeconds * 1_000);
    await database.restore();
    await using again = await open(database.arbiter);
    expect([...again.rolledBack.keys()]).toEqual([owner]);
    await expect(collect(again, clock)).rejects.toMatchObject({ code: "root_rolled_back" });
    expect(await packNames(objects)).toHaveLength(2);
    await clock.advance(SILENT_MS);
    await using accepted = await open(database.arbiter, true);
    expect(accepted.rolledBack.size).toBe(0);
    await collect(accepted, clock);
    // The other masters need not restart.
    await collect(again, clock);
  });

  test("a copy that is put back while masters run: each reads the log from its start", async () => {
    const { open, clock } = world();
    const database = await RestorableArbiter.create(clock);
    await using ahead = await open(database.arbiter);
    const read = await ahead.stores.of(owner);
    await database.keepCopy();
    for (const seed of [1, 2, 3]) await read.put([blockOf("raw", noise(100, seed))]);
    await read.era();
    await clock.advance(BEAT_MS);
    await database.restore();
    // The log grows beyond what this master has read of it.
    await using other = await open(database.arbiter);
    const fresh = [4, 5, 6, 7, 8].map((seed) => blockOf("raw", noise(100, seed)));
    const cids = fresh.map(({ cid }) => cid);
    for (const block of fresh) await (await other.stores.of(owner)).put([block]);
    await clock.advance(5_000);
    await expect.poll(async () => (await read.has(cids)).size).toBe(cids.length);
  });

  test("what one master finds in the log stops collections of all", async () => {
    const { open, clock } = world();
    const database = await RestorableArbiter.create(clock);
    await using finding = await open(database.arbiter);
    await using other = await open(database.arbiter);
    const one = await publish(finding);
    await database.keepCopy();
    // No beat follows, so the arbiter's count is as before.
    await publish(finding, one);
    const blocks = await finding.stores.of(owner);
    await blocks.era();
    await database.restore();
    await blocks.era();
    await expect(collect(other, clock)).rejects.toMatchObject({ code: "root_rolled_back" });
  });

  test("a master that dies between counting and telling the store causes no step back", async () => {
    const { open, clock, arbiter, objects } = world();
    await using storage = await open(arbiter);
    await publish(storage);
    const put = vi.spyOn(objects.top, "putIfMatch").mockRejectedValue(new Error("not sent"));
    await using untold = await open(arbiter);
    expect(put).toHaveBeenCalledTimes(1);
    put.mockRestore();
    await using again = await open(arbiter);
    for (const each of [storage, untold, again]) {
      expect(each.rolledBack.size).toBe(0);
      await collect(each, clock);
    }
  });

  test("masters that beat at the same time do not see a step back", async () => {
    const { open, clock, arbiter } = world();
    await using one = await open(arbiter);
    await publish(one);
    await using two = await open(arbiter);
    const both = [one, two, one, two].map((storage) => collect(storage, clock).catch((error: unknown) => error));
    const codes = (await Promise.all(both)).map((result) => (result as { code?: string }).code);
    // A job lease keeps them to one at a time.
    expect(codes.filter((code) => code !== "bucket_locked").every((code) => code === undefined)).toBe(true);
    await collect(one, clock);
  });

  test("accepted roots replace newer ones in the cache, so that collections go on", async () => {
    const { open, clock, arbiter } = world();
    const cacheDir = await temporaryFolder();
    {
      await using storage = await open(arbiter, false, cacheDir);
      const { commit } = await publish(storage);
      await (await storage.stores.of(owner)).swapped("demo", { commit: commit.cid, version: 7 });
      await expect(collect(storage, clock)).rejects.toMatchObject({ code: "root_rolled_back" });
    }
    await using accepted = await open(arbiter, true, cacheDir);
    expect((await collect(accepted, clock)).dropped).toBe(0);
  });

  test("a token that one master revokes is revoked at the others soon", async () => {
    const { open, clock, arbiter } = world();
    await using one = await open(arbiter);
    await using other = await open(arbiter);
    const now = Number(clock.nowNs() / 1_000_000_000n);
    await one.revocations.add("digest", now + 3_600, now);
    expect(one.revocations.has("digest")).toBe(true);
    await clock.advance(5_000);
    await expect.poll(() => other.revocations.has("digest")).toBe(true);
  });

  test("a watch at one master ends when another revokes its token", async () => {
    const { open, clock, arbiter } = world();
    const storages = [await open(arbiter), await open(arbiter)];
    await storages[0]?.roots.swap(
      { owner: alice.wallet, bucket: "b" },
      undefined,
      cidOf("dag-cbor", Uint8Array.of(0x80)),
    );
    const starting = storages.map((storage) => startTestMaster({ storage, clock }));
    const [one, other] = (await Promise.all(starting)) as [TestMaster, TestMaster];
    const token = await signToken(alice, Number(clock.nowNs() / 1_000_000_000n), 600);
    const headers = { authorization: `Bearer ${token}` };
    const watch = await fetch(`${other.origin}/v1/buckets/b/watch`, { headers });
    const reader = watch.body?.getReader();
    const first = await reader?.read();
    expect(Buffer.from(first?.value ?? []).toString()).toContain("event: root");
    const revoked = await fetch(`${one.origin}/v1/session/revoke`, { method: "POST", headers });
    expect(revoked.status).toBe(200);
    await clock.advance(5_000);
    while ((await reader?.read())?.done === false);
    await Promise.all([one.stop(), other.stop()]);
  });

  test("a revoked token is forgotten a while after it has expired", async () => {
    const { open, clock, arbiter } = world();
    await using one = await open(arbiter);
    await using other = await open(arbiter);
    const now = Number(clock.nowNs() / 1_000_000_000n);
    await one.revocations.add("digest", now + 60, now);
    await clock.advance(5_000);
    expect(other.revocations.has("digest")).toBe(true);
    await clock.advance(3_600_000);
    expect(other.revocations.has("digest")).toBe(true);
    await clock.advance(REVOKED_KEPT_S * 1_000);
    expect([one, other].map(({ revocations }) => revocations.has("digest"))).toEqual([false, false]);
  });

  test("a token that was revoked after the backup is revoked again at the restored arbiter", async () => {
    const { open, clock } = world();
    const restorable = await RestorableArbiter.create(clock);
    await using running = await open(restorable.arbiter);
    const now = Number(clock.nowNs() / 1_000_000_000n);
    await restorable.keepCopy();
    await running.revocations.add("digest", now + 3_600, now);
    await running.revocations.add("soon expired", now + 4, now);
    await restorable.restore();
    await clock.advance(5_000);
    await expect.poll(async () => restorable.arbiter.revoked.all()).toEqual([{ digest: "digest", exp: now + 3_600 }]);
    await using restarted = await open(restorable.arbiter, true);
    expect(restarted.revocations.has("digest")).toBe(true);
  });

  test("a revocation that did not reach the arbiter is entered at the next reading", async () => {
    const { open, clock, arbiter } = world();
    await using storage = await open(arbiter);
    const now = Number(clock.nowNs() / 1_000_000_000n);
    vi.spyOn(arbiter.revoked, "add").mockRejectedValueOnce(new Error("away"));
    await expect(storage.revocations.add("digest", now + 60, now)).rejects.toThrow("away");
    expect(storage.revocations.isUnrecorded("digest")).toBe(true);
    await clock.advance(5_000);
    await expect.poll(() => storage.revocations.isUnrecorded("digest")).toBe(false);
    expect((await arbiter.revoked.all()).map(({ digest }) => digest)).toEqual(["digest"]);
  });

  test("a token whose revocation did not reach the arbiter stays revoked here, and can be revoked again", async () => {
    const { open, clock, arbiter } = world();
    await using storage = await open(arbiter);
    const now = Number(clock.nowNs() / 1_000_000_000n);
    const add = vi.spyOn(arbiter.revoked, "add").mockRejectedValue(new Error("away"));
    await expect(storage.revocations.add("digest", now + 60, now)).rejects.toThrow("away");
    await clock.advance(5_000);
    await expect.poll(() => add.mock.calls.length).toBe(2);
    expect(storage.revocations.has("digest")).toBe(true);
    expect(storage.revocations.isUnrecorded("digest")).toBe(true);
    add.mockRestore();
    await storage.revocations.add("digest", now + 60, now);
    expect(storage.revocations.isUnrecorded("digest")).toBe(false);
    expect((await arbiter.revoked.all()).map(({ digest }) => digest)).toEqual(["digest"]);
  });
});

describe("a health check", () => {
  test("asks each part once, however many callers there are, and again after a while", async () => {
    const { open, arbiter, objects } = world();
    const clock = new ManualClock();
    await using master = await stopped(startTestMaster({ storage: await open(arbiter), clock }));
    const health = async () => (await fetch(`${master.origin}/health`)).status;
    const parts = [vi.spyOn(arbiter.roots, "get"), vi.spyOn(objects.top, "get")];
    const many = () => Promise.all(Array.from({ length: 20 }, health));
    expect(new Set(await many())).toEqual(new Set([200]));
    for (const part of parts) expect(part).toHaveBeenCalledTimes(1);
    await clock.advance(3_000);
    for (const part of parts) part.mockRejectedValue(new Error("away"));
    expect(new Set(await many())).toEqual(new Set([503]));
    for (const part of parts) expect(part).toHaveBeenCalledTimes(2);
  });

  test("tells apart at /health which part is away, also when it hangs", async () => {
    const { open, arbiter, objects } = world();
    const clock = new ManualClock();
    const log = { ...silentLog, error: vi.fn<(message: string) => void>() };
    await using master = await stopped(startTestMaster({ storage: await open(arbiter), clock, log }));
    const health = async () => {
      const answer = await fetch(`${master.origin}/health`);
      return { status: answer.status, ...((await answer.json()) as object) };
    };
    expect(await health()).toEqual({ status: "ok", arbiter: "ok", store: "ok" });
    await clock.advance(3_000);
    vi.spyOn(objects.top, "get").mockReturnValue(new Promise(() => {}));
    const asked = health();
    await expect.poll(() => clock.dueIn(2_500)).toBe(1);
    await clock.advance(2_500);
    expect(await asked).toMatchObject({ arbiter: "ok", store: "failed", code: "store_unreachable" });
    expect(log.error).toHaveBeenCalledTimes(1);
    vi.spyOn(arbiter.roots, "get").mockRejectedValue(new Error("away"));
    await clock.advance(500);
    const again = health();
    await expect.poll(() => clock.dueIn(2_500)).toBe(1);
    await clock.advance(2_500);
    expect(await again).toMatchObject({ arbiter: "failed", store: "failed", code: "arbiter_unreachable" });
    // Of each part once.
    expect(log.error).toHaveBeenCalledTimes(2);
  });
});

async function stopped(starting: Promise<TestMaster>) {
  const master = await starting;
  return { ...master, [Symbol.asyncDispose]: () => master.stop() };
}

function publish(storage: MasterStorage, from?: MadeCommit): Promise<MadeCommit> {
  return publishAt(storage, chain, from);
}

function collect(storage: MasterStorage, clock: ManualClock, alarm?: RootAlarm) {
  return collectAt(storage, owner, clock, alarm);
}

function packNames(objects: MemoryMasterObjects) {
  return packsOf(objects, owner);
}
