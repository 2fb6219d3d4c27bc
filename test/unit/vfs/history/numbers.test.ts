import { copyFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { expect, test } from "vitest";
import { ERRNO } from "../../../../src/base/errno.ts";
import type { Cid, FileId, FileName, Ino } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import {
  directoryOf,
  isList,
  isPast,
  listOf,
  NOT_KEPT,
  openNumbers,
  PastNumbers,
} from "../../../../src/vfs/history/numbers.ts";
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
  const names = Array.from({ length: 100 }, (_, index) => `${index}`.padEnd(255, "n") as FileName);
  let given: number[];
  {
    const disk = new Database(path);
    using numbers = new PastNumbers(disk, false);
    disk.pragma(`max_page_count = ${Number(disk.pragma("page_count", { simple: true }))}`);
    given = names.map((name) => numbers.row({ id: ID, name }));
    for (let attempt = 0; attempt < 2; attempt++) expect(() => numbers.persist()).toThrow("full");
    expect(given.map((number) => numbers.rowBy(number).name)).toEqual(names);
    disk.pragma("max_page_count = 1000");
    numbers.persist();
  }
  using numbers = new PastNumbers(path, true);
  expect(given.map((number) => numbers.rowBy(number).name)).toEqual(names);
});

test("an agent takes over where no file can be made, and a new mount does without a file", async () => {
  const folder = await temporaryFolder();
  const path = join(folder, "numbers.db");
  const killed = new PastNumbers(path, false);
  const told = killed.row({ id: ID, name: undefined });
  killed.persist();
  const copy = join(folder, "copy.db");
  for (const ending of ["", "-wal"]) copyFileSync(path + ending, copy + ending);
  // The index of the WAL cannot be made as a file.
  symlinkSync(join(folder, "missing", "shm"), `${copy}-shm`);
  const [warnings, log] = [[] as string[], { ...silentLog, warn: (message: string) => void warnings.push(message) }];
  using next = openNumbers(copy, true, log);
  expect(next.rowBy(told)).toEqual({ id: ID, name: undefined });
  expect(warnings).toEqual([]);
  using fresh = openNumbers(join(folder, "missing", "numbers.db"), false, log);
  const number = fresh.row({ id: ID, name: undefined });
  fresh.persist();
  expect(fresh.rowBy(number)).toEqual({ id: ID, name: undefined });
  expect(warnings).toEqual([NOT_KEPT]);
  killed[Symbol.dispose]();
});

test("numbers that an earlier agent told and could not keep stand for nothing", () => {
  using lost = new PastNumbers("", false, seededRandom(1));
  using numbers = new PastNumbers("", false, seededRandom(2));
  const told = lost.row({ id: ID, name: undefined });
  numbers.row({ id: ID, name: "f" as FileName });
  expect(() => numbers.rowBy(told)).toThrow(expect.objectContaining({ errno: ERRNO.ESTALE }));
});
