import { describe, expect, test } from "vitest";
import { endOfMoment } from "../../../src/base/moment.ts";

/** Tuesday, 24 November 2026, 15:30:20 on this machine's clock. */
const NOW = new Date(2026, 10, 24, 15, 30, 20).getTime();
const local = (...parts: [number, number, number, number?, number?, number?]) => new Date(...parts).getTime();

describe("the end of a moment as people write it", () => {
  test.each([
    ["now", NOW + 1],
    ["2 hours ago", NOW - 7_200_000 + 1],
    ["an hour ago", NOW - 3_600_000 + 1],
    ["1 minute ago", NOW - 60_000 + 1],
    ["3 weeks ago", NOW - 21 * 86_400_000 + 1],
    ["today", local(2026, 10, 25)],
    ["Yesterday", local(2026, 10, 24)],
    ["2026-11-20", local(2026, 10, 21)],
    ["2026-12-31", local(2027, 0, 1)],
    ["2026-11-20 14:05", local(2026, 10, 20, 14, 6)],
    ["2026-11-20 14:05:07", local(2026, 10, 20, 14, 5, 8)],
    ["2026-11-20T14:05:07Z", Date.UTC(2026, 10, 20, 14, 5, 8)],
    ["2026-11-20T14:05:07.250Z", Date.UTC(2026, 10, 20, 14, 5, 7, 251)],
    ["2026-11-20T14:05:07+02:00", Date.UTC(2026, 10, 20, 12, 5, 8)],
    ["2026-11-20T14:05-01:30", Date.UTC(2026, 10, 20, 15, 36)],
  ])("%s", (text, end) => {
    expect(endOfMoment(text, NOW)).toBe(end);
  });
});

test.each([
  "",
  "some day",
  "2 fortnights ago",
  "2026-02-30",
  "2026-11-20T25:00Z",
  "2026-11-20 14:60",
  "2026-11-20Z",
  "20.11.2026",
])("%s is not a moment", (text) => {
  expect(endOfMoment(text, NOW)).toBeUndefined();
});
