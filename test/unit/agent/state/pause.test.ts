/** A pause: how long it lasts, and what outlives the agent. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Pause } from "../../../../src/agent/state/pause.ts";
import type { Clock } from "../../../../src/base/clock.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const HOUR_MS = 3_600_000;

function open(stateDir: string, clock: ManualClock) {
  const heard: boolean[] = [];
  const pause = new Pause({ stateDir, clock, log: silentLog, changed: (isPaused) => void heard.push(isPaused) });
  return { pause, heard };
}

test("a pause without an end lasts until resume, also across agents", async () => {
  const [stateDir, clock] = [await temporaryFolder(), new ManualClock()];
  const first = open(stateDir, clock);
  expect(first.pause.report).toBe(null);
  first.pause.begin(undefined);
  expect(first.heard).toEqual([true]);
  await clock.advance(1_000 * HOUR_MS);
  const next = open(stateDir, clock);
  expect(next.pause.report).toEqual({ since: "2023-11-14T22:13:20.000Z", until: null });
  expect(next.pause.error).toMatchObject({ code: "paused", message: "Syncing is paused." });
  expect(next.heard).toEqual([]);
  expect(next.pause.end()).toBe(true);
  expect(next.pause.end()).toBe(false);
  expect(next.heard).toEqual([false]);
  expect(open(stateDir, clock).pause.report).toBe(null);
});

test("a pause with an end ends at that time, also in the next agent", async () => {
  const [stateDir, clock] = [await temporaryFolder(), new ManualClock()];
  open(stateDir, clock).pause.begin(2 * HOUR_MS);
  await clock.advance(HOUR_MS);
  const next = open(stateDir, clock);
  expect(next.pause.error?.message).toBe("Syncing is paused until 2023-11-15T00:13:20.000Z.");
  await clock.advance(HOUR_MS - 1);
  expect(next.heard).toEqual([]);
  await clock.advance(1);
  expect(next.heard).toEqual([false]);
  expect(next.pause.report).toBe(null);
  expect(open(stateDir, clock).pause.report).toBe(null);
});

test("a second pause moves the end of the first and keeps its beginning", async () => {
  const [stateDir, clock] = [await temporaryFolder(), new ManualClock()];
  const { pause, heard } = open(stateDir, clock);
  pause.begin(HOUR_MS);
  await clock.advance(HOUR_MS / 2);
  expect(pause.begin(HOUR_MS)).toEqual({ since: "2023-11-14T22:13:20.000Z", until: "2023-11-14T23:43:20.000Z" });
  await clock.advance(HOUR_MS - 1);
  expect(heard).toEqual([true]);
  pause[Symbol.dispose]();
  await clock.advance(HOUR_MS);
  expect(heard).toEqual([true]);
});

test("an unreadable pause file counts as no pause, so that work is published", async () => {
  const [stateDir, clock] = [await temporaryFolder(), new ManualClock()];
  for (const text of ["", "{", '{"sinceMs":"x"}', '{"sinceMs":1,"untilMs":-1}']) {
    writeFileSync(join(stateDir, "paused.json"), text);
    expect(open(stateDir, clock).pause.report).toBe(null);
  }
});

test("a pause that began by a clock that was years ahead lasts no longer than was asked", async () => {
  const [stateDir, clock] = [await temporaryFolder(), new ManualClock()];
  const sinceMs = Number(clock.nowNs() / 1_000_000n) + 15 * 365 * 24 * HOUR_MS;
  const until = { since: "2023-11-14T22:13:20.000Z", until: "2023-11-15T00:13:20.000Z" };
  writeFileSync(join(stateDir, "paused.json"), JSON.stringify({ sinceMs, untilMs: sinceMs + 2 * HOUR_MS }));
  const { pause, heard } = open(stateDir, clock);
  expect(pause.report).toEqual(until);
  await clock.advance(2 * HOUR_MS);
  expect(heard).toEqual([false]);
  expect(pause.report).toBe(null);
});

test("a pause ends in time even if the clock is set back by years", async () => {
  const [stateDir, clock] = [await temporaryFolder(), new ManualClock()];
  const heard: boolean[] = [];
  let backMs = 0;
  const changed = (isPaused: boolean) => void heard.push(isPaused);
  const set: Clock = {
    nowNs: () => clock.nowNs() - BigInt(backMs) * 1_000_000n,
    monotonicMs: () => clock.monotonicMs(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    after: (ms, action) => clock.after(ms, action),
  };
  new Pause({ stateDir, clock: set, log: silentLog, changed }).begin(2 * HOUR_MS);
  backMs = 15 * 365 * 24 * HOUR_MS;
  await clock.advance(2 * HOUR_MS - 1);
  expect(heard).toEqual([true]);
  await clock.advance(1);
  expect(heard).toEqual([true, false]);
});

test("a pause that has ended does not begin again in an agent whose clock is set back", async () => {
  for (const ends of ["under an agent", "before its next agent"]) {
    const [stateDir, clock] = [await temporaryFolder(), new ManualClock()];
    const first = open(stateDir, clock);
    first.pause.begin(2 * HOUR_MS);
    if (ends !== "under an agent") first.pause[Symbol.dispose]();
    await clock.advance(3 * HOUR_MS);
    expect(open(stateDir, clock).pause.report).toBe(null);
    // As at the beginning of the pause.
    expect(open(stateDir, new ManualClock()).pause.report).toBe(null);
  }
});

test("a pause can be ended where no file can be written, as on a disk that filled up meanwhile", async () => {
  const [stateDir, clock] = [await temporaryFolder(), new ManualClock()];
  const { pause, heard } = open(stateDir, clock);
  pause.begin(undefined);
  // No new version of the file can be written.
  mkdirSync(join(stateDir, "paused.json.tmp"));
  expect(pause.end()).toBe(true);
  expect(heard).toEqual([true, false]);
  expect(open(stateDir, clock).pause.report).toBe(null);
});
