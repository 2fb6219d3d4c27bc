import { describe, expect, test } from "vitest";
import type { FileId, FileName } from "../../../../src/base/ids.ts";
import type { Entry } from "../../../../src/sync/known/entry.ts";
import { entryAt, entryOfInode, FEW, hasSeen } from "../../../../src/sync/scan/entries-of-object.ts";

const parent = "a".repeat(32) as FileId;
const nameOf = (index: number) => `name-${index}` as FileName;

/** Names of one file. Each pair was seen with one inode and ctime. Tells how often a name was looked at. */
function entriesOf(count: number) {
  const looks = { count: 0 };
  const entries = Array.from({ length: count }, (_, index) => ({
    get parent() {
      looks.count++;
      return parent;
    },
    name: nameOf(index),
    get seen() {
      looks.count++;
      return { ino: BigInt(index >> 1), ctimeNs: BigInt(index >> 1) };
    },
  }));
  return { entries: entries as unknown as Entry[], looks };
}

describe.each([FEW, FEW + 1, 1_000])("of %i entries", (count) => {
  test("one is found by its place, by an inode, and by what was seen", () => {
    const { entries } = entriesOf(count);
    for (const index of [0, 3, count - 1]) {
      expect(entryAt(entries, parent, nameOf(index))).toBe(entries[index]);
      expect(entryOfInode(entries, BigInt(index >> 1))).toBe(entries[index & ~1]);
      expect(hasSeen(entries, { ino: BigInt(index >> 1), ctimeNs: BigInt(index >> 1) })).toBe(true);
    }
  });

  test("none is found that is not there", () => {
    const { entries } = entriesOf(count);
    expect(entryAt(entries, parent, nameOf(count))).toBe(undefined);
    expect(entryAt(entries, undefined, nameOf(1))).toBe(undefined);
    expect(entryAt(entries, "b".repeat(32) as FileId, nameOf(1))).toBe(undefined);
    expect(entryOfInode(entries, BigInt(count))).toBe(undefined);
    expect(hasSeen(entries, { ino: 1n, ctimeNs: 2n })).toBe(false);
  });
});

test("to look for each of many names takes a few looks a name", () => {
  const count = 1_000;
  const { entries, looks } = entriesOf(count);
  for (let index = 0; index < count; index++) {
    entryAt(entries, parent, nameOf(index));
    entryOfInode(entries, BigInt(index));
    hasSeen(entries, { ino: BigInt(index), ctimeNs: 0n });
  }
  expect(looks.count).toBeLessThan(10 * count);
});
