/** How long the rest takes, from what went lately. */
import { expect, test } from "vitest";
import { Throughput } from "../../../../src/agent/publishing/throughput.ts";
import { WaitingWork } from "../../../../src/agent/publishing/waiting-work.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const MB = 1_000_000;

async function sending(throughput: Throughput, clock: ManualClock, seconds: number, bytesPerSecond: number) {
  for (let each = 0; each < seconds; each++) {
    await clock.advance(1_000);
    throughput.note(bytesPerSecond);
  }
}

test("there is no estimate before anything is sent, in the first two seconds, or after the end", async () => {
  const clock = new ManualClock();
  const throughput = new Throughput(clock);
  expect(throughput.etaMs(MB)).toBeUndefined();
  throughput.begin();
  await sending(throughput, clock, 1, MB);
  expect(throughput.etaMs(10 * MB)).toBeUndefined();
  await sending(throughput, clock, 1, MB);
  expect(throughput.etaMs(10 * MB)).toBe(8_000);
  throughput.end();
  expect(throughput.etaMs(10 * MB)).toBeUndefined();
});

test("the estimate ignores slow times long ago: two minutes before the end it says two minutes", async () => {
  const clock = new ManualClock();
  const throughput = new Throughput(clock);
  throughput.begin();
  await sending(throughput, clock, 600, 10);
  await sending(throughput, clock, 300, MB);
  expect(throughput.etaMs(600 * 10 + 420 * MB)).toBe(120_000);
});

test("there is no estimate while nothing is sent, and there is one again once sending resumes", async () => {
  const clock = new ManualClock();
  const throughput = new Throughput(clock);
  throughput.begin();
  await sending(throughput, clock, 10, MB);
  await clock.advance(60_000);
  expect(throughput.etaMs(20 * MB)).toBeUndefined();
  await sending(throughput, clock, 15, MB);
  expect(throughput.etaMs(30 * MB)).toBe(5_000);
});

test("bytes that the bucket already has count as sent, but not towards the speed", async () => {
  const clock = new ManualClock();
  const throughput = new Throughput(clock);
  throughput.begin();
  throughput.skip(1_000 * MB);
  await sending(throughput, clock, 10, MB);
  expect(throughput.etaMs(1_020 * MB)).toBe(10_000);
  expect(throughput.etaMs(1_010 * MB)).toBeUndefined();
});

test("pending work of a folder keeps its counts and ages while sync passes fail; a successful pass sets what is left", async () => {
  const clock = new ManualClock();
  const work = new WaitingWork(clock);
  expect(work.report()).toBeUndefined();
  const sinceNs = clock.nowNs();
  await clock.advance(3_000);
  work.counted({ files: 2, bytes: 5 * MB, sinceNs }, 10);
  work.ended(undefined);
  expect(work.report()).toEqual({ files: 2, bytes: 5 * MB, oldestMs: 3_000, etaMs: null });
  await clock.advance(7_000);
  // A deletion is found anew by each scan.
  work.counted({ files: 3, bytes: 6 * MB, sinceNs: clock.nowNs() }, 10);
  expect(work.report()).toMatchObject({ files: 3, oldestMs: 10_000 });
  work.ended({ files: 0, bytes: 0, sinceNs: undefined });
  expect(work.report()).toEqual({ files: 0, bytes: 0, oldestMs: 0, etaMs: null });
});

test("a folder that is slow to count is not recounted right away", async () => {
  const clock = new ManualClock();
  const work = new WaitingWork(clock);
  expect(work.mayCount()).toBe(true);
  work.counted({ files: 0, bytes: 0, sinceNs: undefined }, 10_000);
  await clock.advance(199_000);
  expect(work.mayCount()).toBe(false);
  await clock.advance(1_000);
  expect(work.mayCount()).toBe(true);
});
