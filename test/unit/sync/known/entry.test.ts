/** Rows of the database of what was synced that are damaged. */
import { expect, test } from "vitest";
import type { FileId } from "../../../../src/base/ids.ts";
import { nameFromText } from "../../../../src/base/names.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { entryOf, rowOf } from "../../../../src/sync/known/entry.ts";

const entry = {
  parent: "11".repeat(16) as FileId,
  name: nameFromText("name"),
  id: "22".repeat(16) as FileId,
  record: {
    type: "file",
    mode: 0o644,
    uid: 1,
    gid: 2,
    size: 70_000,
    mtimeNs: 3n,
    ctimeNs: 4n,
    rdev: 0,
    xattrs: new Map(),
    content: { kind: "chunk", cid: cidOf("raw", Buffer.from("chunk")) },
    target: "",
    conflict: undefined,
    unknown: new Map(),
  },
  seen: {
    ino: 5n,
    birthNs: 1n,
    mode: 0o644,
    uid: 1,
    gid: 2,
    size: 3,
    mtimeNs: 4n,
    ctimeNs: 5n,
    xattrs: "",
    hasty: true,
  },
} as const;

test("a row decodes to the entry that it was encoded from", () => {
  expect(entryOf(rowOf(entry))).toEqual(entry);
});

test.each([
  ["a truncated record", { record: rowOf(entry).record.subarray(0, 5) }],
  ["a truncated link", { links: rowOf(entry).links.slice(1) }],
  ["a link with an invalid character", { links: rowOf(entry).links.replace(/.$/, "!") }],
  ["a missing link", { links: "" }],
  ["a truncated `seen` field", { seen: rowOf(entry).seen.subarray(1) }],
])("%s is reported as damaged state, with a way out", (_, damage) => {
  expect(() => entryOf({ ...rowOf(entry), ...damage })).toThrow(
    expect.objectContaining({ code: "state_corrupt", hint: expect.stringContaining("state") }),
  );
});
