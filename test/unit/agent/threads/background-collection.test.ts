/** When agents collect by themselves: often enough, one at a time, and at nobody's expense. */
import { expect, test } from "vitest";
import { BackgroundCollection, type CollectionRecord } from "../../../../src/agent/threads/background-collection.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import { silentLog } from "../../../../src/base/log.ts";
import type { CollectReport } from "../../../../src/bucket/gc/collector.ts";
import type { CollectionMark, CollectionNews } from "../../../../src/bucket/gc/need.ts";
import { DEFAULT_RETENTION } from "../../../../src/format/commits/retention.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { seededRandom } from "../../../support/test-bucket.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** Commits after which a collection may be due, at the earliest and at the latest. */
const [FIRST, LAST] = [512, 1_024];

/** A bucket as collectors count it. */
class Counted {
  readonly clock = new ManualClock();
  seq = 1;
  gcEpoch = 0;
  online = true;
  failure: SynclineError | undefined;
  /** Whose turn it was, by agent. */
  readonly collections: number[] = [];
  readonly asked: (CollectionMark | undefined)[] = [];
  retained = 100;
  readonly records = new Map<number, CollectionRecord>();

  agent(index = 0): BackgroundCollection {
    return new BackgroundCollection({
      seq: () => (this.online ? this.seq : undefined),
      collect: (known) => this.#collect(index, known),
      record: this.records.get(index),
      keep: (record) => void this.records.set(index, record),
      clock: this.clock,
      random: seededRandom(50 + index),
      log: silentLog,
    });
  }

  async #collect(index: number, known: CollectionMark | undefined): Promise<CollectionNews> {
    this.asked.push(known);
    if (this.failure !== undefined) throw this.failure;
    const mark = () => ({ gcEpoch: this.gcEpoch, seq: this.seq });
    if (known === undefined || known.gcEpoch !== this.gcEpoch) return { mark: mark() };
    this.gcEpoch++;
    this.seq += 2;
    this.collections.push(index);
    return { mark: mark(), report: reportOf(this.retained) };
  }
}

function reportOf(retained: number): CollectReport {
  const figures = { before: 700, after: 10 };
  return {
    retention: DEFAULT_RETENTION,
    commits: { before: retained, after: retained },
    objects: figures,
    bytes: figures,
    freedBytes: 690,
    isWorth: true,
    completed: false,
    held: null,
    dropped: 1,
    repackedBytes: 0,
    swaps: 2,
    passedOver: [],
  };
}

test("a bucket is collected after enough commits since the last collection, across restarts too", async () => {
  const bucket = new Counted();
  let agent = bucket.agent();
  await bucket.clock.advance(20 * MINUTE_MS);
  expect(bucket.asked).toEqual([undefined]);
  bucket.seq += FIRST - 1;
  await bucket.clock.advance(60 * MINUTE_MS);
  await agent[Symbol.asyncDispose]();
  agent = bucket.agent();
  await bucket.clock.advance(60 * MINUTE_MS);
  expect(bucket.asked).toHaveLength(1);
  bucket.seq += LAST - FIRST + 1;
  await bucket.clock.advance(20 * MINUTE_MS);
  expect(bucket.collections).toHaveLength(1);
  expect(agent.state().last?.report).toMatchObject({ objects: { after: 10 } });
  await bucket.clock.advance(60 * MINUTE_MS);
  expect(bucket.asked).toHaveLength(2);
  await agent[Symbol.asyncDispose]();
});

test("the more roots are retained, the more commits pass until the next collection", async () => {
  const bucket = new Counted();
  bucket.retained = 40_000;
  const agent = bucket.agent();
  await bucket.clock.advance(20 * MINUTE_MS);
  bucket.seq += LAST;
  await bucket.clock.advance(20 * MINUTE_MS);
  expect(bucket.collections).toHaveLength(1);
  bucket.seq += 9_900;
  await bucket.clock.advance(60 * MINUTE_MS);
  expect(bucket.collections).toHaveLength(1);
  bucket.seq += 10_100;
  await bucket.clock.advance(20 * MINUTE_MS);
  expect(bucket.collections).toHaveLength(2);
  await agent[Symbol.asyncDispose]();
});

test("a bucket with few commits is collected every day or two, and an idle one is left alone", async () => {
  const bucket = new Counted();
  const agent = bucket.agent();
  await bucket.clock.advance(20 * MINUTE_MS);
  await bucket.clock.advance(5 * DAY_MS);
  expect(bucket.collections).toEqual([]);
  bucket.seq++;
  await bucket.clock.advance(20 * MINUTE_MS);
  expect(bucket.collections).toHaveLength(1);
  for (let day = 0; day < 20; day++) {
    bucket.seq++;
    await bucket.clock.advance(DAY_MS);
  }
  expect(bucket.collections.length).toBeGreaterThan(9);
  expect(bucket.collections.length).toBeLessThan(22);
  await agent[Symbol.asyncDispose]();
});

test("eight agents that count the same commits rarely collect twice for them", async () => {
  const bucket = new Counted();
  const agents = Array.from({ length: 8 }, (_, index) => bucket.agent(index));
  const commits = 100 * FIRST;
  for (let commit = 0; commit < commits; commit += 10) {
    bucket.seq += 10;
    await bucket.clock.advance(MINUTE_MS);
  }
  console.log(
    `${commits} commits of eight agents: ${bucket.collections.length} collections, asked ${bucket.asked.length} times`,
  );
  expect(bucket.collections.length).toBeGreaterThan(commits / LAST / 2);
  expect(bucket.collections.length).toBeLessThan((commits / FIRST) * 1.2);
  for (const agent of agents) await agent[Symbol.asyncDispose]();
});

test("a failure is shown, retried later and cleared by success; nothing is tried while offline", async () => {
  const bucket = new Counted();
  const agent = bucket.agent();
  await bucket.clock.advance(20 * MINUTE_MS);
  bucket.seq += LAST;
  bucket.online = false;
  await bucket.clock.advance(60 * MINUTE_MS);
  expect(bucket.asked).toHaveLength(1);
  bucket.online = true;
  bucket.failure = new SynclineError("store_corrupt", "A pack is damaged.");
  await bucket.clock.advance(15 * MINUTE_MS);
  expect(agent.state().error?.code).toBe("store_corrupt");
  await bucket.clock.advance(40 * MINUTE_MS);
  expect(bucket.asked).toHaveLength(2);
  bucket.failure = undefined;
  await bucket.clock.advance(120 * MINUTE_MS);
  expect(bucket.collections).toHaveLength(1);
  expect(agent.state().error).toBeUndefined();
  await agent[Symbol.asyncDispose]();
});

test("a bucket that is too large for this machine is tried again after a day", async () => {
  const bucket = new Counted();
  const agent = bucket.agent();
  await bucket.clock.advance(20 * MINUTE_MS);
  bucket.seq += LAST;
  bucket.failure = new SynclineError("limit_exceeded", "The list of blocks needs more than 500 MiB.");
  await bucket.clock.advance(DAY_MS);
  expect(bucket.asked).toHaveLength(2);
  expect(agent.state().error?.code).toBe("limit_exceeded");
  await bucket.clock.advance(DAY_MS + 60 * MINUTE_MS);
  expect(bucket.asked).toHaveLength(3);
  await agent[Symbol.asyncDispose]();
});

test("an agent that ends aborts its collection and waits until it has stopped", async () => {
  const clock = new ManualClock();
  let ended = false;
  const agent = new BackgroundCollection({
    seq: () => 1,
    collect: (_, __, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          ended = true;
          reject(signal.reason);
        });
      }),
    record: undefined,
    keep: () => {},
    clock,
    random: seededRandom(1),
    log: silentLog,
  });
  await clock.advance(20 * MINUTE_MS);
  expect(agent.state().running).toBe(true);
  await agent[Symbol.asyncDispose]();
  expect(ended).toBe(true);
  expect(agent.state()).toMatchObject({ running: false, error: undefined });
  await clock.advance(DAY_MS);
  expect(agent.state().running).toBe(false);
});

test("a record from a clock that was years ahead does not stop the daily collection", async () => {
  const bucket = new Counted();
  const timeMs = Number(bucket.clock.nowNs() / 1_000_000n) + 10 * 365 * DAY_MS;
  bucket.records.set(0, { mark: { gcEpoch: 0, seq: 1 }, timeMs, retained: 100 });
  const agent = bucket.agent();
  bucket.seq += 1;
  await bucket.clock.advance(3 * DAY_MS);
  expect(bucket.collections.length).toBeGreaterThan(0);
  await agent[Symbol.asyncDispose]();
});
