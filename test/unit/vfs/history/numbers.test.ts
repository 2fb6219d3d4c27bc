import { join } from "node:path";
import Database from "better-sqlite3";
import { expect, test } from "vitest";
import { ERRNO } from "../../../../src/base/errno.ts";
import type { Cid, FileId, FileName, Ino } from "../../../../src/base/ids.ts";
import { directoryOf, isList, isPast, listOf, PastNumbers } from "../../../../src/vfs/history/numbers.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const ID = "ab".repeat(16) as FileId;
const state = (name: string) => ({ commit: "commit" as Cid, anchor: ID, name });

test("live inodes, .history directories and old objects have distinct numbers, all exact", () => {
  using numbers = new PastNumbers("", false);
  const list = listOf(7 as Ino);
  expect([isPast(7 as Ino), isPast(list), isList(list), directoryOf(list)]).toEqual([false, true, true, 7]);
  const old = numbers.ino(numbers.state(state("2026")), numbers.row({ id: ID, name: undefined }));
  expect([isPast(old), isList(old)]).toEqual([true, false]);
  const last = numbers.ino(2 ** 24 - 1, 2 ** 28 - 1);
  expect(Number.isSafeInteger(last)).toBe(true);
  expect([numbers.stateOf(last), numbers.rowOf(last)]).toEqual([2 ** 24 - 1, 2 ** 28 - 1]);
});

test("a state and a row keep their number and are found by it, also with spaces and odd bytes in names", () => {
  using numbers = new PastNumbers("", false);
  const rows = [
    { id: ID, name: undefined },
    { id: ID, name: "a b\xff" as FileName },
  ];
  const given = rows.map((row) => numbers.row(row));
  expect(rows.map((row) => numbers.row(row))).toEqual(given);
  expect(given.map((number) => numbers.rowBy(number))).toEqual(rows);
  const named = state("my  notes.txt@2026");
  expect(numbers.stateBy(numbers.state(named))).toEqual(named);
});

test("the next agent knows the numbers that were told, and a new mount starts afresh", async () => {
  const path = join(await temporaryFolder(), "numbers.db");
  let first: number;
  {
    using numbers = new PastNumbers(path, false);
    numbers.row({ id: ID, name: undefined });
    first = numbers.row({ id: ID, name: "f" as FileName });
    numbers.persist();
  }
  {
    using numbers = new PastNumbers(path, true);
    expect(numbers.rowBy(first)).toEqual({ id: ID, name: "f" });
    expect(numbers.row({ id: ID, name: "g" as FileName })).toBeGreaterThan(first);
  }
  using numbers = new PastNumbers(path, false);
  expect(() => numbers.rowBy(first)).toThrow(expect.objectContaining({ errno: ERRNO.ESTALE }));
});

test("numbers that did not fit a full disk stay valid, and are kept once there is room", async () => {
  const path = join(await temporaryFolder(), "numbers.db");
  let early: number;
  let late: number;
  {
    using numbers = new PastNumbers(path, false);
    const disk = new Database(path);
    // Rolls back the whole transaction, as SQLite does on a full disk.
    disk.exec("CREATE TRIGGER full BEFORE INSERT ON rows BEGIN SELECT RAISE(ROLLBACK, 'full'); END");
    early = numbers.row({ id: ID, name: "early" as FileName });
    for (let attempt = 0; attempt < 2; attempt++) expect(() => numbers.persist()).toThrow("full");
    expect(numbers.rowBy(early)).toEqual({ id: ID, name: "early" });
    disk.exec("DROP TRIGGER full");
    disk.close();
    late = numbers.row({ id: ID, name: "late" as FileName });
    numbers.persist();
  }
  using numbers = new PastNumbers(path, true);
  expect([early, late].map((number) => numbers.rowBy(number).name)).toEqual(["early", "late"]);
});
