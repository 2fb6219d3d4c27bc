import { expect, test } from "vitest";
import { ByteBoundedMap } from "../../../src/base/byte-bounded-map.ts";

function filled(...sizes: readonly number[]) {
  const map = new ByteBoundedMap<number, Uint8Array>(100, ({ length }) => length);
  for (const [key, size] of sizes.entries()) map.set(key, new Uint8Array(size));
  return map;
}

test("holds as many bytes as allowed, and forgets what was not used for longest", () => {
  const map = filled(40, 40, 20);
  expect(map.get(0)).toHaveLength(40);
  map.set(3, new Uint8Array(30));
  expect([...map.keys()]).toEqual([2, 0, 3]);
});

test("no longer counts a replaced or deleted value", () => {
  const map = filled(90, 5);
  map.set(0, new Uint8Array(10));
  map.delete(1);
  map.delete(1);
  map.set(2, new Uint8Array(90));
  expect([...map.keys()]).toEqual([0, 2]);
  map.clear();
  map.set(4, new Uint8Array(100));
  expect([...map.keys()]).toEqual([4]);
});

test("does not keep a value that is larger than all that is allowed", () => {
  const map = filled(10, 101);
  expect([...map.keys()]).toEqual([]);
});
