import { expect, test } from "vitest";
import { SmallBytes } from "../../../src/base/small-bytes.ts";

test("short byte strings share memory and keep their values; long ones keep their own memory", () => {
  const kept = new SmallBytes();
  const short = Array.from({ length: 3_000 }, (_, index) => new Uint8Array(index % 100).fill(index));
  const copies = short.map((bytes) => kept.keep(bytes));
  expect(copies).toEqual(short);
  expect(new Set(copies.map(({ buffer }) => buffer)).size).toBeLessThan(5);
  const long = new Uint8Array(100_000);
  expect(kept.keep(long)).toBe(long);
});
