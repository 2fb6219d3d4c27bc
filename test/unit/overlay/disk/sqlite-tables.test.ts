/** The overlay's tables in a file. */
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { TABLES_LOG_BYTES } from "../../../../src/base/limits.ts";
import type { Ino } from "../../../../src/base/ids.ts";
import { SqliteTables } from "../../../../src/overlay/disk/sqlite-tables.ts";

const MIB = 1024 * 1024;

test("the log of changes stays short, however large a row is", async () => {
  const folder = mkdtempSync(join(tmpdir(), "syncline-tables-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "overlay.db");
  const tables = new SqliteTables(path);
  for (let round = 0; round < 40; round++) {
    const objects = [[2 as Ino, Buffer.alloc(MIB, round)] as const];
    const nothing = { inodes: [], removedInodes: [], otherFlight: false, sealed: [] };
    tables.apply({ ...nothing, objects, head: Buffer.from([round]) });
    await tables.sync();
    tables.compact();
  }
  expect(statSync(`${path}-wal`).size).toBeLessThan(3 * TABLES_LOG_BYTES);
  tables.close();
});

test("opening and reading tables makes no file besides them, so that it needs no space", () => {
  const folder = mkdtempSync(join(tmpdir(), "syncline-tables-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "overlay.db");
  new SqliteTables(path).close();
  const tables = new SqliteTables(path);
  expect(tables.head()).toBeUndefined();
  expect(readdirSync(folder).filter((name) => statSync(join(folder, name)).size > 0)).toEqual(["overlay.db"]);
  tables.close();
});
