/** What `--limit` takes. */
import { expect, test } from "vitest";
import { parseRates } from "../../../src/cli/rates.ts";

test("a single rate holds all day", () => {
  expect(parseRates("2 MiB")).toEqual([{ fromMinute: 0, bytesPerS: 2 << 20 }]);
  expect(parseRates("512k/s")).toEqual([{ fromMinute: 0, bytesPerS: 512 << 10 }]);
  expect(parseRates("1k")).toEqual([{ fromMinute: 0, bytesPerS: 1024 }]);
  expect(parseRates("off")).toEqual([{ fromMinute: 0, bytesPerS: undefined }]);
});

test("a timetable gives a rate from each time on", () => {
  expect(parseRates("8:00,512k 18:30,10M/s  23:00,off")).toEqual([
    { fromMinute: 480, bytesPerS: 512 << 10 },
    { fromMinute: 1110, bytesPerS: 10 << 20 },
    { fromMinute: 1380, bytesPerS: undefined },
  ]);
});

test.each([
  "",
  "0",
  "1",
  "1023",
  "8:00,1k 9:00,2",
  "fast",
  "08:00",
  "08:00,",
  "08:00,0",
  "24:00,1k",
  "08:60,1k",
  "9:00,1k 8:00,2k",
  "8:00,1k 8:00,2k",
  "1k 8:00,2k",
])("%j is not a rate", (text) => {
  expect(parseRates(text)).toBe(undefined);
});
