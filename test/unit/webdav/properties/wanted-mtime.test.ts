/** Times that clients set, clamped to the years 1677 to 2262. */
import { expect, test } from "vitest";
import { mtimeOfSeconds } from "../../../../src/webdav/properties/wanted-mtime.ts";

test.each([
  ["12.5", 12_500_000_000n],
  ["-1", -1_000_000_000n],
  ["99999999999", 2n ** 63n - 1n],
  ["999999999999", 2n ** 63n - 1n],
  ["-1700000000000", -(2n ** 63n)],
  ["9".repeat(30), 2n ** 63n - 1n],
  ["9".repeat(31), undefined],
  ["soon", undefined],
])("%s seconds", (text, ns) => {
  expect(mtimeOfSeconds(text)).toBe(ns);
});
