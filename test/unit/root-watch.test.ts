import { rename } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { watchRoot } from "../../src/bucket/packed/root-watch.ts";
import { FileObjectStore } from "../../src/objects/file-object-store.ts";
import { MemoryObjectStore } from "../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../src/objects/object-store.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const POLL_MS = 250;

test("a change is heard at the next look, and nothing is heard without one", async () => {
  const [store, clock] = [new MemoryObjectStore(), new ManualClock()];
  const heard = listen(store, clock);
  await clock.advance(10 * POLL_MS);
  expect(heard.count()).toBe(1);
  await store.putNew("root", [Buffer.from("a")]);
  await clock.advance(POLL_MS);
  expect(heard.count()).toBe(2);
});

test("after it is disposed nothing is heard any more, and nothing is looked at", async () => {
  const [store, clock] = [new MemoryObjectStore(), new ManualClock()];
  const heard = listen(store, clock);
  await clock.advance(POLL_MS);
  heard.watch[Symbol.dispose]();
  await store.putNew("root", [Buffer.from("a")]);
  await clock.advance(10 * POLL_MS);
  expect(heard.count()).toBe(1);
});

test("a store that gives hints is looked at when it gives one, without waiting", async () => {
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

test("a folder that goes away and comes back is heard both times, and changes after that too", async () => {
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

/** Counts what is heard; `next` waits until it was that often. */
function listen(store: ObjectStore, clock: typeof systemClock, everyMs = POLL_MS) {
  let count = 0;
  let waiting: { count: number; resolve: () => void } | undefined;
  const watch = watchRoot(store, clock, everyMs, () => {
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
