import { expect, test } from "vitest";
import { failureOf } from "../../../../src/base/failure.ts";
import type { FileId, FileName } from "../../../../src/base/ids.ts";
import { newRecord } from "../../../../src/format/files/record.ts";
import { SyncDatabase } from "../../../../src/sync/known/database.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

test("whether a name has an inode is told by the first of many", () => {
  const db = new SyncDatabase(":memory:");
  const [parent, id] = ["a", "b"].map((digit) => digit.repeat(32) as FileId) as [FileId, FileId];
  const seen = { ino: 7n, birthNs: 0n, mode: 0, uid: 0, gid: 0, size: 0, mtimeNs: 0n, ctimeNs: 0n, xattrs: "" };
  const record = newRecord("file", { mode: 0o644, uid: 0, gid: 0, timeNs: 1n });
  for (let index = 0; index < 100; index++)
    db.put({ parent, name: `name-${index}` as FileName, id, record, seen: { ...seen, hasty: false } });

  let looks = 0;
  const count = (wanted: boolean) => () => {
    looks++;
    return wanted;
  };
  expect([db.hasInode(7n, count(true)), looks]).toEqual([true, 1]);
  expect([db.hasInode(8n, count(true)), looks]).toEqual([false, 1]);
  expect([db.hasInode(7n, count(false)), looks]).toEqual([false, 101]);
  // The connection is free again.
  expect(db.byInode(7n)).toHaveLength(100);
});

test("a database that cannot be opened is named, with what to do", async () => {
  const path = await temporaryFolder();
  let failure: unknown;
  try {
    failure = new SyncDatabase(path);
  } catch (error) {
    failure = failureOf(error);
  }
  expect(failure).toMatchObject({
    code: "local_io_failed",
    message: `${path}: unable to open database file.`,
    hint: expect.stringContaining("read-only"),
  });
});
