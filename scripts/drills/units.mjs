/**
 * Two agents that cannot publish commit in one git repository and write to one SQLite database, each in their own mount. Then both
 * publish: each repository and each database is whole, under its name or as a conflict copy, and nobody's work is lost.
 *   node scripts/drills/units.mjs [--master]
 */
import { spawnSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { agent, check, differences, fingerprint, join, storage, syncline, until, workspace } from "./lib.mjs";

const space = workspace("units");
const { url, away, back } = await storage(space);
syncline(space, ["init", url]);
const a = agent(space, "a", url);
const b = agent(space, "b", url);

git(join(a.dir, "work"), "init", "--quiet");
commit(a, "first");
sql(a, "create table t (who text); insert into t values ('base')", "checkpoint");
a.flush();
await until(() => a.status().base === b.status().base, 60_000, "one root on both", 100);
// What nobody has read yet cannot be read while the bucket is away.
fingerprint(b.dir);

await away();
for (const [who, each] of [
  ["a", a],
  ["b", b],
]) {
  for (const count of [1, 2, 3]) commit(each, `${who} ${count}`);
  sql(each, `insert into t values ('${who}')`, "leave");
}
await back();
await until(() => [a, b].every(({ status }) => status().pending.files === 0), 60_000, "both queues to drain", 100);
await until(() => a.status().base === b.status().base, 60_000, "one root on both", 100);

const [onA, onB] = [fingerprint(a.dir), fingerprint(b.dir)];
check(differences(onA, onB).length === 0, `one tree on both: ${onA.size} files`);

const work = join(a.dir, "work");
const repositories = readdirSync(work).filter((name) => name.startsWith(".git"));
check(repositories.length === 2, `two repositories: ${repositories.join(", ")}`);
const subjects = new Set();
for (const name of repositories) {
  const checked = run("git", ["--git-dir", join(work, name), "fsck", "--full", "--strict"], work);
  check(checked.status === 0 && checked.stderr === "", `git fsck of ${name}: ${checked.stderr || "clean"}`);
  const log = run("git", ["--git-dir", join(work, name), "log", "--format=%s"], work)
    .stdout.trim()
    .split("\n");
  check(log.length === 4, `${name} has one whole history: ${log.join(", ")}`);
  for (const subject of log) subjects.add(subject);
}
check(subjects.size === 7, `all commits can be reached: ${[...subjects].sort().join(", ")}`);

const databases = readdirSync(a.dir).filter((name) => name.endsWith(".db"));
check(
  databases.length === 2,
  `two databases: ${readdirSync(a.dir)
    .filter((name) => name.includes(".db"))
    .join(", ")}`,
);
const rows = new Set();
for (const name of databases) {
  const [integrity, ...found] = sql(a, "", "read", name);
  check(integrity === "ok", `integrity_check of ${name}: ${integrity}`);
  check(found.length === 2, `${name} has one side's rows: ${found.join(", ")}`);
  for (const row of found) rows.add(row);
}
check(rows.size === 3, `all rows are there: ${[...rows].sort().join(", ")}`);
a.unmount();
b.unmount();
check(syncline(space, ["verify", url, "--json"]).status === 0, "verify finds nothing");

function commit({ dir }, subject) {
  const where = join(dir, "work");
  writeFileSync(join(where, `${subject}.bin`), subject);
  git(where, "add", ".");
  git(where, "-c", "user.name=d", "-c", "user.email=d@example.org", "commit", "--quiet", "-m", subject);
}

function git(where, ...args) {
  const [verb] = args;
  if (verb === "init") spawnSync("mkdir", ["-p", where]);
  const done = run("git", args, where);
  if (done.status !== 0) throw new Error(`git ${args.join(" ")}: ${done.stderr}`);
}

/**
 * Runs SQL in WAL mode on the mount's database. `checkpoint`: closes it, which takes the log in; `leave`: ends without closing, so
 * that what was committed is in the log alone; `read`: integrity and rows.
 */
function sql({ dir }, text, how, name = "app.db") {
  const script = `
import sqlite3, sys, os
path, text, how = sys.argv[1:]
db = sqlite3.connect(path, isolation_level=None)
if how != "read":
    db.execute("pragma journal_mode=wal")
    for each in text.split(";"): db.execute(each)
if how == "read":
    print(db.execute("pragma integrity_check").fetchone()[0])
    for row in db.execute("select who from t"): print(row[0])
if how == "leave":
    os._exit(0)
db.close()
`;
  const done = run("python3", ["-c", script, join(dir, name), text, how], space.path);
  if (done.status !== 0) throw new Error(`sqlite: ${done.stderr}`);
  return done.stdout.trim().split("\n");
}

function run(command, args, cwd) {
  return spawnSync(command, args, { cwd, encoding: "utf8", env: { ...space.env, GIT_CONFIG_GLOBAL: "/dev/null" } });
}
