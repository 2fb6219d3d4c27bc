/** The bound on bytes a second. */
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import { RateLimit, type Rates } from "../../../src/base/rate-limit.ts";
import { ManualClock } from "../../support/manual-clock.ts";

test("a taker waits until the rate has paid for its bytes, and idle time saves up only a moment's worth", async () => {
  const clock = new ManualClock();
  const limit = new RateLimit(clock, [{ fromMinute: 0, bytesPerS: 1_000 }]);
  let done = 0;
  const take = (bytes: number) => void limit.take(bytes).then(() => done++);
  take(2_000);
  take(1_000);
  await clock.advance(1_800);
  expect(done).toBe(0);
  await clock.advance(300);
  expect(done).toBe(1);
  await clock.advance(1_000);
  expect(done).toBe(2);
  await clock.advance(3_600_000);
  take(1_000);
  await clock.advance(800);
  expect(done).toBe(2);
  await clock.advance(300);
  expect(done).toBe(3);
});

describe("a timetable", () => {
  const zone = process.env["TZ"];
  afterEach(() => {
    if (zone === undefined) delete process.env["TZ"];
    else process.env["TZ"] = zone;
  });

  /** Starts a taker of many bytes at this time in Berlin. The result advances the clock and says how many bytes it got. */
  function inBerlin(start: string, rates: Rates) {
    process.env["TZ"] = "Europe/Berlin";
    const clock = new ManualClock();
    const nowNs = clock.nowNs.bind(clock);
    const shift = BigInt(Date.parse(start)) * 1_000_000n - nowNs();
    clock.nowNs = () => nowNs() + shift;
    const limit = new RateLimit(clock, rates);
    let taken = 0;
    const ending = new AbortController();
    const taking = (async () => {
      while (taken < 1_000_000) {
        await limit.take(1_000, ending.signal);
        taken += 1_000;
      }
    })().catch(() => {});
    const after = async (minutes: number) => {
      const before = taken;
      await clock.advance(minutes * 60_000);
      return taken - before;
    };
    onTestFinished(async () => {
      ending.abort();
      await taking;
    });
    return after;
  }

  const rates = [
    { fromMinute: 8 * 60, bytesPerS: 100 },
    { fromMinute: 18 * 60, bytesPerS: 50 },
  ];

  test("changes the rate of waiting takers at its times, also across midnight", async () => {
    const after = inBerlin("2026-11-25T17:00:00+01:00", rates);
    expect(await after(60)).toBe(360_000);
    expect(await after(60)).toBe(180_000);
    const night = inBerlin("2026-11-25T23:50:00+01:00", rates);
    expect(await night(20)).toBe(60_000);
    const morning = inBerlin("2026-11-25T07:50:00+01:00", rates);
    expect(await morning(20)).toBe(90_000);
  });

  test("has no limit while it is off, and then releases takers that waited at a low rate", async () => {
    const after = inBerlin("2026-11-25T22:59:00+01:00", [
      { fromMinute: 0, bytesPerS: 1 },
      { fromMinute: 23 * 60, bytesPerS: undefined },
    ]);
    expect(await after(0.9)).toBe(0);
    expect(await after(0.2)).toBeGreaterThan(10_000);
  });

  test("follows local time when daylight saving begins and ends", async () => {
    const nightly = [
      { fromMinute: 0, bytesPerS: 50 },
      { fromMinute: 2 * 60 + 30, bytesPerS: 100 },
    ];
    // 2:00 becomes 3:00, after the time of the second rate.
    const spring = inBerlin("2026-03-29T01:50:00+01:00", nightly);
    expect(await spring(10)).toBe(30_000);
    expect(await spring(10)).toBe(60_000);
    // 3:00 becomes 2:00: the first rate holds once more for half an hour.
    const autumn = inBerlin("2026-10-25T02:50:00+02:00", nightly);
    expect(await autumn(10)).toBe(60_000);
    expect(await autumn(30)).toBe(90_000);
    expect(await autumn(10)).toBe(60_000);
  });
});
