/** When a watched folder has its rounds. */
import { expect, test } from "vitest";
import { SyncLoop } from "../../src/agent/sync-loop.ts";
import { syncStatus } from "../../src/agent/sync-status.ts";
import type { SyncReport } from "../../src/sync/report.ts";
import { ManualClock } from "../support/manual-clock.ts";

const quiet = { info() {}, warn() {}, error() {} };
const REPORT: SyncReport = {
  root: "root",
  sent: { added: 0, changed: 0, moved: 0, deleted: 0 },
  received: { files: 0, removed: 0 },
  conflicts: [],
  guard: null,
  left: [],
};

test("after a round that brought something into the folder it is looked at again soon, then once a minute", async () => {
  const clock = new ManualClock();
  const reports: SyncReport[] = [{ ...REPORT, received: { files: 1, removed: 0 } }];
  let rounds = 0;
  const loop = new SyncLoop({
    once: async () => {
      rounds++;
      return reports.shift() ?? REPORT;
    },
    watchFolder: () => ({ failure: undefined, [Symbol.asyncDispose]: async () => {} }),
    watchBucket: () => ({ [Symbol.dispose]: () => {} }),
    heard: () => {},
    failed: () => {},
    clock,
    log: quiet,
  });
  const running = loop.run();
  await clock.advance(50);
  expect(rounds).toBe(1);
  await clock.advance(2_000);
  expect(rounds).toBe(2);
  await clock.advance(50_000);
  expect(rounds).toBe(2);
  await clock.advance(15_000);
  expect(rounds).toBe(3);
  loop.end();
  await running;
});

test("without notices the folder is scanned every 10 s, and the status says why", async () => {
  const clock = new ManualClock();
  const warned: string[] = [];
  let rounds = 0;
  const loop = new SyncLoop({
    once: async () => {
      rounds++;
      return REPORT;
    },
    watchFolder: (_changed, failed) => {
      failed("the system has no more inotify watches");
      return { failure: undefined, [Symbol.asyncDispose]: async () => {} };
    },
    watchBucket: () => ({ [Symbol.dispose]: () => {} }),
    heard: () => {},
    failed: () => {},
    clock,
    log: { ...quiet, warn: (message) => warned.push(message) },
  });
  const running = loop.run();
  await clock.advance(50);
  expect(rounds).toBe(1);
  await clock.advance(11_000);
  expect(rounds).toBe(2);
  await clock.advance(11_000);
  expect(rounds).toBe(3);
  expect(loop.state().scansOnly).toContain("inotify");
  expect(warned).toEqual([expect.stringContaining("scanned every 10 s")]);
  const facts = { folder: "/work", address: "file:///b", cache: () => ({ bytes: 0, limit: 1 }) };
  expect(syncStatus(facts, loop.state()).sync).toMatchObject({
    notices: false,
    why: expect.stringContaining("inotify") as string,
  });
  loop.end();
  await running;
});
