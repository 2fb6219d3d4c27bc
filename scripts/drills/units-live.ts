/**
 * SQLite goes on writing in one mount, with the database open all the time, while the bucket is away, comes back, and another agent's change of the
 * database is there first: each database is whole in the end, no row is lost, and none comes to lie in the other's.
 *   node scripts/drills/units-live.ts [rounds] [--master]
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { agent, type AgentHandle, check, join, storage, syncline, until, workspace } from "./lib.ts";

const space = workspace("units-live");
const { url, away, back, rest } = await storage(space);
syncline(space, ["init", url]);
const [a, b] = [agent(space, "a", url), agent(space, "b", url)];
for (let round = 0; round < Number(rest[0] ?? 4); round++) await play(`round-${round}`);
for (const each of [a, b]) each.unmount();
check(syncline(space, ["verify", url, "--json"]).status === 0, "verify finds nothing");

async function play(folder: string) {
  if (away === undefined || back === undefined) throw new Error("this bucket cannot be taken away");
  mkdirSync(join(a.dir, folder));
  sql(a, folder, "create table t (who text); insert into t values ('base')");
  a.flush();
  b.flush();
  await until(() => a.status().base === b.status().base, 60_000, "one root on both", 100);
  // What nobody has read yet cannot be read while the bucket is away.
  readFileSync(join(b.dir, folder, "app.db"));

  await away();
  const writer = write(b, folder);
  await writer.reaches(100);
  sql(a, folder, "pragma journal_mode = wal; insert into t values ('a')");
  await back();
  // Either of them may come first.
  a.flush();
  await writer.reaches(writer.rows() + 300);
  b.flush();
  await writer.reaches(writer.rows() + 100);
  const written = await writer.end();
  for (const each of [b, a, b, a]) each.flush();

  const seen = new Set<string>();
  for (const name of readdirSync(join(b.dir, folder)).filter((each) => each.endsWith(".db"))) {
    const [integrity, ...rows] = rowsOf(join(b.dir, folder, name));
    check(integrity === "ok", `${folder}: integrity_check of ${name}: ${integrity}`);
    const sides = new Set(rows.filter((row) => row !== "base").map((row) => row.split(" ")[0]));
    check(sides.size <= 1, `${folder}: ${name} has one side's rows: ${rows.length - 1} of ${[...sides].join(", ")}`);
    for (const row of rows) seen.add(row);
  }
  const lost = Array.from({ length: written }, (_, row) => `b ${row}`).filter((row) => !seen.has(row));
  check(lost.length === 0, `${folder}: all ${written} rows of b are there`);
  check(seen.has("a"), `${folder}: the row of a is there`);
}

/** A process that inserts a row after the other until it is told to end. */
function write({ dir }: AgentHandle, folder: string) {
  const [stop, log] = [join(space.path, `${folder}.stop`), join(space.path, `${folder}.log`)];
  const script = `
import os, sqlite3, sys, time
path, stop, log = sys.argv[1:]
db = sqlite3.connect(path, isolation_level=None, timeout=60)
db.execute("pragma journal_mode=wal")
out = open(log, "w", buffering=1)
row = 0
while not os.path.exists(stop):
    db.execute("insert into t values ('b %d')" % row)
    row += 1
    out.write("%d\\n" % row)
    time.sleep(0.002)
# Without closing: what was committed is in the log alone.
os._exit(0)
`;
  writeFileSync(log, "");
  const child = spawn("python3", ["-c", script, join(dir, folder, "app.db"), stop, log], { stdio: "inherit" });
  const ended = new Promise<number | null>((resolve) => void child.once("exit", resolve));
  const rows = () => readFileSync(log, "utf8").split("\n").length - 1;
  return {
    rows,
    reaches: (count: number) => until(() => rows() >= count || child.exitCode !== null, 120_000, `row ${count}`, 20),
    async end() {
      writeFileSync(stop, "");
      check((await ended) === 0, `${folder}: who had the database open could write to the end`);
      return rows();
    },
  };
}

function sql({ dir }: AgentHandle, folder: string, text: string) {
  const script = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for each in sys.argv[2].split(";"): db.execute(each)
db.close()
`;
  run(script, join(dir, folder, "app.db"), text);
}

function rowsOf(path: string) {
  const script = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(db.execute("pragma integrity_check").fetchone()[0])
for row in db.execute("select who from t"): print(row[0])
`;
  return run(script, path).trim().split("\n");
}

function run(script: string, ...args: string[]) {
  const done = spawnSync("python3", ["-c", script, ...args], { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`sqlite: ${done.stderr}`);
  return done.stdout;
}
