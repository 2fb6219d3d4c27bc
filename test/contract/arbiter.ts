/** What every Arbiter must do. An arbiter's own test file calls this with how to open a fresh one. */
import { describe, expect, test } from "vitest";
import type { Wallet } from "../../src/base/ids.ts";
import { type Arbiter, PACK_STATES, type PackChange, REVOKED_KEPT_S } from "../../src/arbiter/arbiter.ts";
import { rootCid, rootStoreContract } from "./root-store.ts";

const OWNER = `0x${"11".repeat(20)}` as Wallet;
const OTHER = `0x${"22".repeat(20)}` as Wallet;
const NAME = { owner: OWNER, bucket: "demo" };

export function arbiterContract(open: () => Promise<Arbiter>): void {
  describe("as a root store", () => {
    rootStoreContract({ open: async () => (await open()).roots });
  });

  test("buckets are listed by name, with the time of their last swap", async () => {
    const { roots } = await open();
    for (const bucket of ["b", "a", "c-1", "c.1", "c_1"]) {
      await roots.swap({ owner: OWNER, bucket }, undefined, rootCid(bucket));
    }
    const names = (await roots.list(OWNER, "", 10)).map(({ bucket }) => bucket);
    expect(names).toEqual(["a", "b", "c-1", "c.1", "c_1"]);
    expect((await roots.list(OWNER, "b", 2)).map(({ bucket }) => bucket)).toEqual(["c-1", "c.1"]);
    const row = await roots.row({ owner: OWNER, bucket: "a" });
    expect(row?.updatedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(await roots.list(OTHER, "", 10)).toEqual([]);
  });

  test("many roots are read at once, in the order of their names", async () => {
    const { roots } = await open();
    const named = (bucket: string, owner: string = OWNER) => ({ owner, bucket });
    const [a, b] = [rootCid("a"), rootCid("b")];
    await roots.swap(named("a"), undefined, a);
    await roots.swap(named("b"), undefined, a);
    await roots.swap(named("b"), a, b);
    const names = [named("b"), named("b", OTHER), named("none"), named("a"), named("b")];
    const newer = { commit: b, version: 2 };
    expect(await roots.getMany(names)).toEqual([newer, undefined, undefined, { commit: a, version: 1 }, newer]);
    expect(await roots.getMany([])).toEqual([]);
  });

  test("added packs appear in the log, in the order of their positions", async () => {
    const { packs } = await open();
    expect(await packs.after(OWNER, 0)).toMatchObject({ era: 1, entries: [], more: false, position: 0 });
    expect(await packs.change(OWNER, await adding(packs, "a", "b"))).toEqual(new Set([name("a"), name("b")]));
    await packs.change(OWNER, await adding(packs, "c"));
    await packs.change(OTHER, await adding(packs, "d"));
    const { entries, position } = await packs.after(OWNER, 0);
    expect(entries.map(({ pack }) => pack).toSorted()).toEqual([name("a"), name("b"), name("c")]);
    expect(entries.at(-1)).toMatchObject({ pack: name("c"), bytes: 100, rows: 3, state: PACK_STATES.live, position });
    expect((await packs.after(OWNER, entries[0]?.position ?? 0)).entries.map(({ pack }) => pack)).toEqual([name("c")]);
    expect(await packs.owners()).toEqual([OWNER, OTHER]);
  });

  test("adding a pack again changes nothing, whatever became of it", async () => {
    const { packs } = await open();
    await packs.change(OWNER, await adding(packs, "a", "b"));
    await packs.change(OWNER, { ...(await adding(packs)), condemn: [name("b")] });
    expect(await packs.change(OWNER, await adding(packs, "a", "b"))).toEqual(new Set([name("a")]));
    expect(await states(packs)).toEqual({ a: PACK_STATES.live, b: PACK_STATES.condemned });
  });

  test("a pack whose upload began too long ago is not added, and what it replaces stays", async () => {
    const { packs } = await open();
    await packs.change(OWNER, await adding(packs, "a"));
    const { nowMs } = await packs.after(OWNER, 0);
    const late = { ...(await adding(packs, "b")), condemn: [name("a")], begunMs: nowMs - 5_000, patienceMs: 4_000 };
    expect(await packs.change(OWNER, late)).toEqual(new Set());
    expect(await states(packs)).toEqual({ a: PACK_STATES.live });
  });

  test("condemning begins an era; then a swap that was checked before is to be checked again", async () => {
    const { packs, roots } = await open();
    const [a, b] = [rootCid("a"), rootCid("b")];
    await packs.change(OWNER, await adding(packs, "a", "b"));
    const { era } = await packs.after(OWNER, 0);
    expect(await roots.swapInEra(NAME, undefined, a, era)).toMatchObject({ kind: "committed" });
    await packs.change(OWNER, { ...(await adding(packs, "c")), condemn: [name("a")] });
    expect(await roots.swapInEra(NAME, a, b, era)).toEqual({ kind: "check again" });
    expect(await roots.swapInEra({ ...NAME, bucket: "new" }, undefined, b, era)).toEqual({ kind: "check again" });
    expect(await roots.get(NAME)).toMatchObject({ commit: a });
    const after = await packs.after(OWNER, 0);
    expect(after.era).toBeGreaterThan(era);
    expect(await roots.swapInEra(NAME, a, b, after.era)).toMatchObject({ kind: "committed", root: { version: 2 } });
    expect(await roots.swapInEra(NAME, a, rootCid("c"), after.era)).toMatchObject({
      kind: "conflict",
      current: { commit: b },
    });
  });

  test("a condemned pack is restored, or given up once its time is over", async () => {
    const { packs } = await open();
    await packs.change(OWNER, await adding(packs, "a", "b", "c", "d"));
    await packs.change(OWNER, { ...(await adding(packs)), condemn: ["a", "b", "c"].map(name) });
    expect(await packs.restore(OWNER, [name("a"), name("d")])).toEqual(new Set([name("a"), name("d")]));
    const { era, nowMs } = await packs.after(OWNER, 0);
    const all = ["a", "b", "c", "d"].map(name);
    expect(await packs.giveUp(OWNER, all, { beforeMs: nowMs - 60_000, era })).toEqual([]);
    expect(await packs.giveUp(OWNER, all, { beforeMs: nowMs + 60_000, era: era - 1 })).toEqual([]);
    expect(await packs.giveUp(OWNER, [name("a"), name("b")], { beforeMs: nowMs + 60_000, era })).toEqual([name("b")]);
    expect(await packs.restore(OWNER, [name("b")])).toEqual(new Set());
    expect(await states(packs)).toEqual({
      a: PACK_STATES.live,
      b: PACK_STATES.gone,
      c: PACK_STATES.condemned,
      d: PACK_STATES.live,
    });
  });

  test("a pack that the log does not name can be given up, and cannot be added then", async () => {
    const { packs } = await open();
    await packs.change(OWNER, await adding(packs, "a", "b"));
    await packs.change(OWNER, { ...(await adding(packs)), condemn: [name("b")] });
    expect(await packs.disown(OWNER, ["a", "b", "c"].map(name))).toEqual(new Set([name("c")]));
    expect(await packs.disown(OWNER, [name("c")])).toEqual(new Set([name("c")]));
    expect(await packs.change(OWNER, await adding(packs, "c"))).toEqual(new Set());
    expect(await states(packs)).toEqual({ a: PACK_STATES.live, b: PACK_STATES.condemned, c: PACK_STATES.gone });
  });

  test("changes at once all get into the log, and a reader that follows it misses none", async () => {
    const { packs } = await open();
    const seen = new Set<string>();
    let position = 0;
    const follow = async () => {
      const { entries } = await packs.after(OWNER, position);
      for (const { pack } of entries) seen.add(pack);
      position = entries.at(-1)?.position ?? position;
    };
    const names = Array.from({ length: 60 }, (_, at) => `${at}`);
    const changes = names.map(async (each) => {
      await packs.change(OWNER, await adding(packs, each));
      await follow();
    });
    await Promise.all(changes);
    await follow();
    expect(seen).toEqual(new Set(names.map(name)));
  });

  test("a change of more packs than one read returns is read completely", async () => {
    const { packs } = await open();
    const labels = Array.from({ length: 20_001 }, (_, at) => `${at}`);
    await packs.change(OWNER, await adding(packs, ...labels));
    const { entries, more, position } = await packs.after(OWNER, 0);
    expect(entries.length).toBe(labels.length);
    const rest = more ? await packs.after(OWNER, entries.at(-1)?.position ?? 0) : undefined;
    expect(rest?.entries ?? []).toEqual([]);
    expect(entries.at(-1)?.position).toBe(position);
  });

  test("a long log is read in pages", async () => {
    const { packs } = await open();
    const labels = Array.from({ length: 20_000 }, (_, at) => `${at}`);
    await packs.change(OWNER, await adding(packs, ...labels));
    await packs.change(OWNER, await adding(packs, "last"));
    const first = await packs.after(OWNER, 0);
    const second = await packs.after(OWNER, first.entries.at(-1)?.position ?? 0);
    expect([first, second].map(({ entries, more }) => [entries.length, more])).toEqual([
      [20_000, true],
      [1, false],
    ]);
  });

  test("a job has one holder until it is freed", async () => {
    const arbiter = await open();
    const held = await arbiter.lease("gc");
    expect(held?.signal.aborted).toBe(false);
    expect(await arbiter.lease("gc")).toBeUndefined();
    await using other = await arbiter.lease("other");
    expect(other).toBeDefined();
    await held?.[Symbol.asyncDispose]();
    await using again = await arbiter.lease("gc");
    expect(again).toBeDefined();
  });

  test("revoked tokens are listed until long after they expire", async () => {
    const { revoked } = await open();
    const now = Math.floor(Date.now() / 1000);
    await revoked.add("old", now - REVOKED_KEPT_S - 10);
    await revoked.add("new", now + 1_000);
    await revoked.add("new", now + 1_000);
    expect(await revoked.all()).toEqual([{ digest: "new", exp: now + 1_000 }]);
  });

  test("a watch hears of swaps", async () => {
    const arbiter = await open();
    const heard: string[] = [];
    using _watch = arbiter.watch(({ owner, bucket }) => heard.push(`${owner}/${bucket}`));
    let at = 0;
    await expect
      .poll(async () => {
        await arbiter.roots.swap({ ...NAME, bucket: `b${++at}` }, undefined, rootCid(`${at}`));
        return heard.some((each) => each.startsWith(`${OWNER}/b`));
      })
      .toBe(true);
  });

  test("masters that were announced are listed", async () => {
    const arbiter = await open();
    const master = { id: "1", origin: "http://a", compareAndSwap: true, version: "1" };
    await arbiter.announce(master);
    await arbiter.announce({ ...master, id: "2", origin: "http://b", compareAndSwap: false });
    await arbiter.announce({ ...master, origin: "http://c" });
    expect((await arbiter.masters(60)).map(({ origin }) => origin).toSorted()).toEqual(["http://b", "http://c"]);
    await arbiter.withdraw("2");
    expect((await arbiter.masters(60)).map(({ id }) => id)).toEqual(["1"]);
  });

  test("a master's lease is listed with it, unless it is not known", async () => {
    const arbiter = await open();
    const master = { id: "1", origin: "http://a", compareAndSwap: true, version: "1.2.3-rc.1+build" };
    await arbiter.announce(master);
    await arbiter.announce({ ...master, id: "2", leaseSeconds: 86_400 });
    const listed = (await arbiter.masters(60)).toSorted((one, other) => (one.id < other.id ? -1 : 1));
    expect(listed).toEqual([master, { ...master, id: "2", leaseSeconds: 86_400 }]);
  });

  test("a master's rules are listed with it, also with a lease", async () => {
    const arbiter = await open();
    const master = { id: "1", origin: "http://a", compareAndSwap: true, version: "1.2.3-rc.1+build", rules: "" };
    await arbiter.announce(master);
    const other = { ...master, id: "2", rules: "--quota=1048576,--public-blocks", leaseSeconds: 86_400 };
    await arbiter.announce(other);
    const listed = (await arbiter.masters(60)).toSorted((one, other) => (one.id < other.id ? -1 : 1));
    expect(listed).toEqual([master, other]);
  });

  test("the incarnation stays the same", async () => {
    const arbiter = await open();
    const before = await arbiter.incarnation();
    expect(before).not.toBe("");
    expect(await arbiter.incarnation()).toBe(before);
  });

  test("beats are counted, by several masters at once as well, and the incarnation stays the same", async () => {
    const arbiter = await open();
    const before = await arbiter.incarnation();
    expect(await arbiter.beat(0)).toBe(1);
    const counts = await Promise.all([0, 1, 1, 0].map((told) => arbiter.beat(told)));
    expect(counts.toSorted()).toEqual([2, 3, 4, 5]);
    expect(await arbiter.beat(5)).toBe(6);
    expect(await arbiter.incarnation()).toBe(before);
  });

  test.each([0, 3])(
    "an arbiter that has not counted as far as it is told, after %i beats, changes its incarnation once",
    async (beats) => {
      const arbiter = await open();
      const before = await arbiter.incarnation();
      for (let beat = 0; beat < beats; beat++) await arbiter.beat(0);
      const counts = await Promise.all([100, 100].map((told) => arbiter.beat(told)));
      expect(counts.toSorted()).toEqual([101, 102]);
      const changed = await arbiter.incarnation();
      expect(changed).not.toBe(before);
      // What was told before comes late.
      expect(await arbiter.beat(100)).toBe(103);
      expect(await arbiter.incarnation()).toBe(changed);
    },
  );

  test("a store that tells less than before changes the incarnation once, and then tells on from there", async () => {
    const arbiter = await open();
    for (let beat = 0; beat < 5; beat++) await arbiter.beat(beat);
    const before = await arbiter.incarnation();
    expect((await arbiter.store()).told).toBe(4);
    const counts = await Promise.all([2, 2].map((told) => arbiter.beat(told, 4)));
    expect(counts.toSorted()).toEqual([6, 7]);
    const changed = await arbiter.incarnation();
    expect(changed).not.toBe(before);
    expect((await arbiter.store()).told).toBe(2);
    // Of a master that had read both numbers before.
    await arbiter.beat(2, 4);
    await arbiter.beat(3, 2);
    expect((await arbiter.store()).told).toBe(3);
    expect(await arbiter.incarnation()).toBe(changed);
  });

  test("a beat that was read late does not count as a step back", async () => {
    const arbiter = await open();
    for (let beat = 0; beat < 5; beat++) await arbiter.beat(beat);
    const before = await arbiter.incarnation();
    await arbiter.beat(3, 3);
    expect(await arbiter.store()).toEqual({ id: undefined, told: 4 });
    expect(await arbiter.incarnation()).toBe(before);
  });

  test("it keeps the store that it took first, also when several are taken at once", async () => {
    const arbiter = await open();
    expect(await arbiter.store()).toEqual({ id: undefined, told: 0 });
    const [taken, ...others] = await Promise.all(["a", "b", "c"].map((id) => arbiter.takeStore(id)));
    expect(others).toEqual([taken, taken]);
    await arbiter.beat(0);
    expect(await arbiter.takeStore("d")).toBe(taken);
    expect(await arbiter.store()).toEqual({ id: taken, told: 0 });
  });

  test("of several changes of one incarnation, one counts", async () => {
    const arbiter = await open();
    const before = await arbiter.incarnation();
    await arbiter.beat(0);
    await Promise.all([arbiter.changeIncarnation(before), arbiter.changeIncarnation(before)]);
    const changed = await arbiter.incarnation();
    expect(changed).not.toBe(before);
    await arbiter.changeIncarnation(before);
    expect(await arbiter.incarnation()).toBe(changed);
    await arbiter.changeIncarnation(changed);
    expect(await arbiter.incarnation()).not.toBe(changed);
  });
}

function name(label: string): string {
  return Buffer.from(label.padStart(16, "_")).toString("hex");
}

async function adding(packs: Arbiter["packs"], ...labels: readonly string[]): Promise<PackChange> {
  const { nowMs } = await packs.after(OWNER, 0);
  const add = labels.map((label) => ({ pack: name(label), bytes: 100, rows: 3 }));
  return { add, condemn: [], begunMs: nowMs, patienceMs: 60_000 };
}

async function states(packs: Arbiter["packs"]): Promise<Record<string, number>> {
  const { entries } = await packs.after(OWNER, 0);
  const label = (pack: string) => Buffer.from(pack, "hex").toString().replaceAll("_", "");
  return Object.fromEntries(entries.map(({ pack, state }) => [label(pack), state]));
}
