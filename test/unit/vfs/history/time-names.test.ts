import { expect, test } from "vitest";
import { namedTime, timeName } from "../../../../src/vfs/history/time-names.ts";

const MS = 1_000_000n;
const end = (name: string) => {
  const named = namedTime(name);
  return named && new Date(Number(named.endNs / MS)).toISOString();
};

test("a root's time is named to the millisecond, in UTC", () => {
  expect(timeName(BigInt(Date.UTC(2026, 10, 20, 10, 0, 3, 120)) * MS + 999_999n)).toBe("2026-11-20T10:00:03.120Z");
  expect(timeName(0n)).toBe("1970-01-01T00:00:00.000Z");
});

test.each([
  ["2026", "2027-01-01T00:00:00.000Z"],
  ["2026-12", "2027-01-01T00:00:00.000Z"],
  ["2024-02-29", "2024-03-01T00:00:00.000Z"],
  ["2026-11-20T23", "2026-11-21T00:00:00.000Z"],
  ["2026-11-20T10:59", "2026-11-20T11:00:00.000Z"],
  ["2026-11-20T10:00Z", "2026-11-20T10:01:00.000Z"],
  ["2026-11-20T10:00:03", "2026-11-20T10:00:04.000Z"],
  ["2026-11-20T10:00:03.1", "2026-11-20T10:00:03.200Z"],
  ["2026-11-20T10:00:03.123Z", "2026-11-20T10:00:03.124Z"],
])("%s means everything up to %s", (name, expected) => {
  expect(end(name)).toBe(expected);
});

test.each([
  "",
  "Z",
  "26",
  "0026",
  "2026-13",
  "2026-00",
  "2026-02-30",
  "2026-11-20T24",
  "2026-11-20T10:60",
  "yesterday",
])("%j names no moment", (name) => {
  expect(namedTime(name)).toBeUndefined();
});

test("only a name down to the millisecond is exact", () => {
  expect(namedTime("2026-11-20T10:00:03.123Z")?.isExact).toBe(true);
  expect(namedTime("2026-11-20T10:00:03.12")?.isExact).toBe(false);
  expect(namedTime("2026-11-20T10:00:03")?.isExact).toBe(false);
});
