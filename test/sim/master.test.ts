/** What a simulated master's disk keeps when its process is killed, and when its power is cut. */
import { expect, test } from "vitest";
import { Beginning } from "../../src/simulate/beginning.ts";
import { SimulatedDatabases } from "../../src/simulate/master/simulated-databases.ts";
import { planOf } from "../../src/simulate/plan.ts";
import { seededRandom } from "../../src/simulate/seeded-random.ts";
import { play } from "../../src/simulate/world.ts";

test("a committed row survives a kill, whether it was synced or not", () => {
  for (const synchronous of ["NORMAL", "FULL"]) {
    const databases = filled(synchronous);
    expect(rowsIn(databases.afterKill())).toEqual([1, 2]);
  }
});

test("a committed row survives a power loss if each commit is synced, and otherwise sometimes", () => {
  const random = seededRandom(3);
  const left = (synchronous: string) => rowsIn(filled(synchronous).afterPowerLoss(random)).length;
  const times = Array.from({ length: 20 });
  expect(new Set(times.map(() => left("FULL")))).toEqual(new Set([2]));
  expect(new Set(times.map(() => left("NORMAL")))).toEqual(new Set([1, 2]));
});

test("a power loss after a kill, before a synced database is opened again, loses nothing", () => {
  const killed = filled("FULL").afterKill();
  for (let seed = 0; seed < 20; seed++)
    expect(rowsIn(killed.copy().afterPowerLoss(seededRandom(seed)))).toEqual([1, 2]);
});

test("a database cannot grow while the disk is full, and can afterwards", () => {
  const databases = filled("FULL").afterKill();
  databases.fill(true);
  const db = databases.open(PATH);
  expect(() => db.exec(`INSERT INTO rows VALUES (3); CREATE TABLE large AS SELECT zeroblob(100000)`)).toThrow(/full/);
  databases.fill(false);
  db.exec("CREATE TABLE large AS SELECT zeroblob(100000)");
  db.close();
});

test("three of ten histories use a master, and the others run without one", async () => {
  const plans = Array.from({ length: 1_000 }, (_, seed) => planOf(seed));
  const share = plans.filter(({ master }) => master !== undefined).length / plans.length;
  expect(Math.abs(share - 0.3)).toBeLessThan(0.05);
  expect(plans.some(({ master }) => master?.leaseSeconds !== undefined)).toBe(true);
  expect(plans.filter(({ master }) => master?.masters !== undefined).length).toBeGreaterThan(80);
  const beginning = await Beginning.make();
  const elsewhere = plans.find(({ master, actions }) => master === undefined && actions.length < 10);
  expect(elsewhere && (await play(elsewhere, beginning)).violations).toEqual([]);
});

const PATH = "/data/rows.db";

/** With a row that a checkpoint wrote, and one that came after it. */
function filled(synchronous: string): SimulatedDatabases {
  const databases = new SimulatedDatabases();
  const db = databases.open(PATH);
  db.pragma(`synchronous = ${synchronous}`);
  db.exec("CREATE TABLE rows (row INTEGER); INSERT INTO rows VALUES (1)");
  db.pragma("wal_checkpoint(FULL)");
  db.exec("INSERT INTO rows VALUES (2)");
  return databases;
}

function rowsIn(databases: SimulatedDatabases): number[] {
  const db = databases.open(PATH);
  const rows = db.prepare<[], { row: number }>("SELECT row FROM rows ORDER BY row").all();
  db.close();
  return rows.map(({ row }) => row);
}
