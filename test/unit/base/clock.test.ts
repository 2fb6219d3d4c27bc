import { expect, onTestFinished, test } from "vitest";
import { nextTurn } from "../../../src/base/concurrency.ts";
import { systemClock } from "../../../src/base/clock.ts";

test("a wait beyond the longest timer does not end at once", async () => {
  const warnings: Error[] = [];
  const heard = (warning: Error) => void warnings.push(warning);
  process.on("warning", heard);
  onTestFinished(() => void process.off("warning", heard));
  // Node.js warns of timers that it cannot count, and fires them after a millisecond.
  const month = 31 * 24 * 3600 * 1000;
  const stop = new AbortController();
  using _timer = systemClock.after(month, () => {});
  const slept = systemClock.sleep(month, stop.signal).catch(() => "stopped");
  await nextTurn();
  stop.abort();
  expect(await slept).toBe("stopped");
  expect(warnings).toEqual([]);
});

test("a wait of less than no time prints no warning", async () => {
  const warnings: Error[] = [];
  const heard = (warning: Error) => void warnings.push(warning);
  process.on("warning", heard);
  onTestFinished(() => void process.off("warning", heard));
  await systemClock.sleep(-0.1);
  expect(warnings).toEqual([]);
});
