/** The space that a mount shows where a master limits its owner. */
import { expect, test } from "vitest";
import { QuotaWatch } from "../../../../src/agent/threads/quota-watch.ts";
import type { OwnerQuota } from "../../../../src/bucket/http/owner-quota.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const DISK = { blockSize: 4096, blocks: 1_000, freeBlocks: 500, files: 10, freeFiles: 5 };
const blocks = (count: number) => count * 4096;

function watch(answers: (OwnerQuota | undefined | Error)[]) {
  const clock = new ManualClock();
  const state = { isPaused: false, asked: 0 };
  const read = async () => {
    state.asked++;
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { quota: new QuotaWatch({ read, isPaused: () => state.isPaused, clock }), clock, state };
}

test("a quota that leaves less than the disk is shown, one that leaves more is not", async () => {
  const { quota, clock } = watch([
    { usedBytes: blocks(200), quotaBytes: blocks(300) },
    { usedBytes: blocks(200), quotaBytes: blocks(900) },
    { usedBytes: blocks(301), quotaBytes: blocks(300) },
  ]);
  expect(quota.within(DISK)).toEqual(DISK);
  await clock.advance(0);
  expect(quota.within(DISK)).toEqual({ ...DISK, blocks: 300, freeBlocks: 100 });
  await clock.advance(10 * 60_000);
  expect(quota.within(DISK)).toEqual(DISK);
  await clock.advance(10 * 60_000);
  expect(quota.within(DISK)).toEqual({ ...DISK, blocks: 300, freeBlocks: 0 });
});

test("the quota is asked for again soon after a change, once for several changes, and not while paused", async () => {
  const { quota, clock, state } = watch([undefined]);
  await clock.advance(0);
  expect(state.asked).toBe(1);
  for (let times = 0; times < 5; times++) {
    quota.changed();
    await clock.advance(1_000);
  }
  await clock.advance(10_000);
  expect(state.asked).toBe(2);
  state.isPaused = true;
  quota.changed();
  await clock.advance(60_000);
  expect(state.asked).toBe(2);
  quota[Symbol.dispose]();
});

test("while the master does not answer, its last answer stays in use", async () => {
  const { quota, clock } = watch([{ usedBytes: 0, quotaBytes: blocks(7) }, new Error("away")]);
  await clock.advance(30 * 60_000);
  expect(quota.within(DISK)).toMatchObject({ blocks: 7, freeBlocks: 7 });
});
