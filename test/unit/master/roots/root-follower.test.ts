/** Roots that other masters swap: how their watchers hear of them, and what that costs the arbiter. */
import { expect, test, vi } from "vitest";
import { silentLog } from "../../../../src/base/log.ts";
import { BucketRoots } from "../../../../src/master/roots/bucket-roots.ts";
import { RootAlarm } from "../../../../src/master/roots/root-alarm.ts";
import type { OtherMasters } from "../../../../src/master/storage.ts";
import { MemoryRootStore } from "../../../support/memory-root-store.ts";
import type { BucketName } from "../../../../src/roots/root-store.ts";
import { rootCid } from "../../../contract/root-store.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { MemoryBlockStores } from "../../../support/memory-owner-blocks.ts";

const LOOK_MS = 3_000;

test("all watched roots are read in one query, which ends before the next begins", async () => {
  using world = followed();
  const { clock, arbiter, watch, table } = world;
  for (let bucket = 0; bucket < 50; bucket++) watch(`b${bucket}`);
  arbiter.answerMs = 4_000;
  await clock.advance(LOOK_MS);
  expect(arbiter.underWay).toBe(1);
  await clock.advance(3 * LOOK_MS);
  expect([arbiter.most, arbiter.calls]).toEqual([1, 2]);
  await table.swap(named("b7"), undefined, rootCid("a"));
  const news = watch("b7");
  await clock.advance(3 * LOOK_MS);
  expect(news.take()).toEqual({ commit: rootCid("a"), version: 1 });
});

test("thousands of watched roots are read page by page", async () => {
  using world = followed();
  const { clock, arbiter, watch, table } = world;
  const watches = Array.from({ length: 2_500 }, (_, bucket) => watch(`b${bucket}`));
  await table.swap(named("b0"), undefined, rootCid("a"));
  await table.swap(named("b2499"), undefined, rootCid("b"));
  await clock.advance(LOOK_MS);
  expect([arbiter.most, arbiter.calls]).toEqual([1, 3]);
  expect([watches[0]?.take()?.commit, watches[2_499]?.take()?.commit]).toEqual([rootCid("a"), rootCid("b")]);
});

test("announced roots are read at once, together if a query is under way, and only those that are watched", async () => {
  using world = followed();
  const { clock, arbiter, watch, table, announce } = world;
  const watches = ["a", "b", "c"].map(watch);
  for (const bucket of ["a", "b", "c"]) await table.swap(named(bucket), undefined, rootCid(bucket));
  arbiter.answerMs = 100;
  for (const bucket of ["a", "b", "c", "b", "unwatched"]) announce(bucket);
  await clock.advance(200);
  expect([arbiter.most, arbiter.calls]).toEqual([1, 2]);
  expect(watches.map((each) => each.take()?.commit)).toEqual(["a", "b", "c"].map(rootCid));
});

test("changes missed while the arbiter was unreachable are found by a later look", async () => {
  using world = followed();
  const { clock, table, watch } = world;
  const news = watch("a");
  await table.swap(named("a"), undefined, rootCid("a"));
  vi.spyOn(table, "getMany").mockRejectedValueOnce(new Error("away"));
  await clock.advance(LOOK_MS);
  expect(news.take()).toBeUndefined();
  await clock.advance(LOOK_MS);
  expect(news.take()).toEqual({ commit: rootCid("a"), version: 1 });
});

function named(bucket: string): BucketName {
  return { owner: "o", bucket };
}

/** A master that follows others, over an arbiter whose reads are counted and take a while. */
function followed() {
  const clock = new ManualClock();
  const table = new MemoryRootStore();
  const arbiter = { answerMs: 0, underWay: 0, most: 0, calls: 0 };
  const counted = new Proxy(table, {
    get: (target, name) => async (names: never) => {
      arbiter.calls++;
      arbiter.most = Math.max(arbiter.most, ++arbiter.underWay);
      if (arbiter.answerMs > 0) await clock.sleep(arbiter.answerMs);
      arbiter.underWay--;
      return target[name as "get" | "getMany"](names);
    },
  });
  const ports = { clock, log: silentLog, alarm: new RootAlarm(silentLog), stores: new MemoryBlockStores() };
  const roots = new BucketRoots({ ...ports, roots: counted, compareAndSwap: true });
  let announce: Parameters<OtherMasters["watch"]>[0] = () => {};
  const following = roots.follow({
    watch: (changed) => {
      announce = changed;
      return { [Symbol.dispose]: () => (announce = () => {}) };
    },
    announce: () => {},
    join: async () => {},
    onWentBack: () => {},
    id: "one",
  });
  let callers = 0;
  return {
    clock,
    table,
    arbiter,
    watch: (bucket: string) => roots.hub.watch(named(bucket), `${++callers}`),
    announce: (bucket: string) => announce(named(bucket)),
    [Symbol.dispose]: () => following[Symbol.dispose](),
  };
}
