import { rename } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { OwnSwap } from "../../../../src/bucket/packed/own-swap.ts";
import { watchRoot } from "../../../../src/bucket/packed/root-watch.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { encodeRoot } from "../../../../src/format/blocks/root-object.ts";
import { FileObjectStore } from "../../../../src/objects/file-object-store.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const POLL_MS = 250;

test("a change is heard at the next poll, and nothing is heard without a change", async () => {
  const [store, clock] = [new MemoryObjectStore(), new ManualClock()];
  const heard = listen(store, clock);
  await clock.advance(10 * POLL_MS);
  expect(heard.count()).toBe(1);
  await store.putNew("root", [Buffer.from("a")]);
  await clock.advance(POLL_MS);
  expect(heard.count()).toBe(2);
});

test("looks that cost money become rarer while nothing changes, and frequent again after a change", async () => {
  const [inner, clock] = [new MemoryObjectStore(), new ManualClock()];
  let looks = 0;
  const store: ObjectStore = Object.assign(Object.create(inner) as ObjectStore, {
    polling: { firstMs: 1_000, lastMs: 10_000 },
    get: (name: string) => (looks++, inner.get(name)),
  });
  const heard = listen(store, clock);
  for (let second = 0; second < 60; second++) await clock.advance(1_000);
  expect(looks).toBeLessThan(20);
  looks = 0;
  for (let second = 0; second < 100; second++) await clock.advance(1_000);
  expect(looks).toBeLessThanOrEqual(10);
  await inner.putNew("root", [Buffer.from("a")]);
  for (let second = 0; second < 10; second++) await clock.advance(1_000);
  expect(heard.count()).toBe(2);
  looks = 0;
  for (let second = 0; second < 5; second++) await clock.advance(1_000);
  expect(looks).toBeGreaterThanOrEqual(3);
  heard.watch[Symbol.dispose]();
});

test("a disposed watch hears nothing more", async () => {
  const [store, clock] = [new MemoryObjectStore(), new ManualClock()];
  const heard = listen(store, clock);
  await clock.advance(POLL_MS);
  heard.watch[Symbol.dispose]();
  await store.putNew("root", [Buffer.from("a")]);
  await clock.advance(10 * POLL_MS);
  expect(heard.count()).toBe(1);
});

test("a hint from the store triggers a look without waiting", async () => {
  const clock = new ManualClock();
  const inner = new MemoryObjectStore();
  let hint = (): void => {};
  const store: ObjectStore = Object.assign(Object.create(inner) as ObjectStore, {
    get: (name: string) => inner.get(name),
    watch: (_: string, changed: () => void) => {
      hint = changed;
      return { [Symbol.dispose]: () => {} };
    },
  });
  const heard = listen(store, clock);
  await clock.advance(0);
  await inner.putNew("root", [Buffer.from("a")]);
  hint();
  hint();
  await clock.advance(0);
  expect(heard.count()).toBe(2);
});

describe("a root swapped in by this client", () => {
  const [one, two] = ["one", "two"].map((text) => cidOf("dag-cbor", Buffer.from(text)));
  if (one === undefined || two === undefined) throw new Error("there are two");

  test("is not reported, and a hint about it costs no read", async () => {
    const { own, clock, heard, put, reads } = await begin();
    const before = reads();
    await own.run(one, () => put(one));
    await clock.advance(0);
    expect(reads()).toBe(before);
    await clock.advance(POLL_MS);
    expect(heard.count()).toBe(1);
  });

  test("is reported when it returns after another root, as is the other root", async () => {
    const { own, clock, heard, put } = await begin();
    await own.run(one, () => put(one));
    await clock.advance(POLL_MS);
    await put(two);
    await clock.advance(POLL_MS);
    expect(heard.count()).toBe(2);
    await put(one);
    await clock.advance(POLL_MS);
    expect(heard.count()).toBe(3);
  });

  test("is reported as gone when the previous root is back, as it was at the last look", async () => {
    const { own, clock, heard, put, remove } = await begin();
    await own.run(one, () => put(one));
    await remove();
    await clock.advance(POLL_MS);
    expect(heard.count()).toBe(2);
  });

  test("is reported when it appears later, if the swap here had no effect", async () => {
    const { own, clock, heard, put } = await begin();
    await own.run(one, async () => {});
    await put(two);
    await clock.advance(POLL_MS);
    expect(heard.count()).toBe(2);
    await put(one);
    await clock.advance(POLL_MS);
    expect(heard.count()).toBe(3);
  });
});

describe("a watch during a turn", () => {
  const [one, two, three] = ["one", "two", "three"].map((text) => cidOf("dag-cbor", Buffer.from(text)));
  if (one === undefined || two === undefined || three === undefined) throw new Error("there are three");

  const beginInLine = async () => {
    const world = await begin();
    const ends = vi.fn<() => void>();
    const turn = () => world.own.inLine(Promise.resolve({ waited: true, [Symbol.dispose]: ends }));
    await world.put(one);
    await world.clock.advance(4 * POLL_MS);
    return { ...world, turn, ends };
  };

  test("neither polls nor listens, and reports others' changes when the turn ends", async () => {
    const { clock, heard, put, turn, ends, hints, reads } = await beginInLine();
    const [before, count] = [reads(), heard.count()];
    const taken = await turn();
    for (const commit of [two, three]) {
      await put(commit);
      await clock.advance(10 * POLL_MS);
    }
    expect([reads(), heard.count(), hints.size]).toEqual([before, count, 0]);
    taken?.[Symbol.dispose]();
    expect(ends).toHaveBeenCalledOnce();
    await clock.advance(0);
    expect([reads(), heard.count(), hints.size]).toEqual([before + 1, count + 1, 1]);
  });

  test("resumes when the turn has ended, with hints and without", async () => {
    const { clock, heard, put, turn, hints } = await beginInLine();
    const taken = await turn();
    await clock.advance(10 * POLL_MS);
    taken?.[Symbol.dispose]();
    taken?.[Symbol.dispose]();
    const count = heard.count();
    await clock.advance(4 * POLL_MS);
    await put(two);
    await clock.advance(0);
    expect(heard.count()).toBe(count + 1);
    hints.clear();
    await put(three);
    await clock.advance(POLL_MS);
    expect(heard.count()).toBe(count + 2);
  });

  test("resumes after waiting for a turn in vain", async () => {
    const { own, clock, heard, put } = await beginInLine();
    const count = heard.count();
    let giveUp = (): void => {};
    const waiting = own.inLine(new Promise((resolve) => (giveUp = () => resolve(undefined))));
    await put(two);
    await clock.advance(10 * POLL_MS);
    expect(heard.count()).toBe(count);
    giveUp();
    expect(await waiting).toBeUndefined();
    await clock.advance(0);
    expect(heard.count()).toBe(count + 1);
  });

  test("misses nothing between consecutive turns", async () => {
    const { clock, heard, put, turn } = await beginInLine();
    const count = heard.count();
    for (const commit of [two, one, three]) {
      const taken = await turn();
      await put(commit);
      taken?.[Symbol.dispose]();
    }
    await clock.advance(POLL_MS);
    expect(heard.count()).toBeGreaterThan(count);
    const last = heard.count();
    await put(two);
    await clock.advance(POLL_MS);
    expect(heard.count()).toBe(last + 1);
  });

  test("does not report its own swap when the turn ends", async () => {
    const { own, clock, heard, put, turn } = await beginInLine();
    const count = heard.count();
    const taken = await turn();
    await own.run(two, () => put(two));
    taken?.[Symbol.dispose]();
    await clock.advance(4 * POLL_MS);
    expect(heard.count()).toBe(count);
  });

  test("stays silent if it was disposed meanwhile", async () => {
    const { clock, heard, put, turn, hints } = await beginInLine();
    const count = heard.count();
    const taken = await turn();
    heard.watch[Symbol.dispose]();
    await put(two);
    taken?.[Symbol.dispose]();
    await clock.advance(4 * POLL_MS);
    expect([heard.count(), hints.size]).toEqual([count, 0]);
  });
});

test("a folder that goes away and comes back is reported both times, and so are later changes", async () => {
  const path = join(await temporaryFolder(), "bucket");
  const open = () => new FileObjectStore({ path, address: `file://${path}`, clock: systemClock, random: systemRandom });
  const store = open();
  await store.initialize();
  await store.putNew("root", [Buffer.from("a")]);
  const heard = listen(open(), systemClock, 5);
  await heard.next(1);
  await rename(path, `${path}.away`);
  await heard.next(2);
  await rename(`${path}.away`, path);
  await heard.next(3);
  await store.putIfMatch("root", [Buffer.from("b")], (await store.get("root"))?.token ?? "");
  await heard.next(4);
  heard.watch[Symbol.dispose]();
  expect(heard.count()).toBe(4);
});

/** A watch over a store in memory that gives hints, in which `put` swaps a root in. */
async function begin() {
  const [inner, clock, own] = [new MemoryObjectStore(), new ManualClock(), new OwnSwap()];
  let reads = 0;
  const hints = new Set<() => void>();
  const store: ObjectStore = Object.assign(Object.create(inner) as ObjectStore, {
    get: (name: string) => (reads++, inner.get(name)),
    watch: (_: string, changed: () => void) => {
      hints.add(changed);
      return { [Symbol.dispose]: () => void hints.delete(changed) };
    },
  });
  const heard = listen(store, clock, POLL_MS, own);
  let version = 0;
  const put = async (commit: Cid) => {
    const body = [encodeRoot({ commit, version: ++version })];
    const old = await inner.get("root");
    await (old === undefined ? inner.putNew("root", body) : inner.putIfMatch("root", body, old.token));
    for (const hint of hints) hint();
  };
  await clock.advance(0);
  return { own, clock, heard, put, remove: () => inner.delete("root"), hints, reads: () => reads };
}

/** Counts what is heard; `next` waits until it was that often. */
function listen(store: ObjectStore, clock: typeof systemClock, everyMs = POLL_MS, own = new OwnSwap()) {
  const polling = store.polling ?? { firstMs: everyMs, lastMs: everyMs };
  let count = 0;
  let waiting: { count: number; resolve: () => void } | undefined;
  const watch = watchRoot(store, own, clock, polling, () => {
    count++;
    if (waiting !== undefined && count >= waiting.count) waiting.resolve();
  });
  const next = (wanted: number) =>
    new Promise<void>((resolve) => {
      waiting = { count: wanted, resolve };
      if (count >= wanted) resolve();
    });
  return { watch, count: () => count, next };
}
