/**
 * Two agents that cannot publish commit in one git repository and write to one SQLite database, each in their own mount. Then both
 * publish: each repository and each database is whole, once under its name and once as a conflict copy, and nobody's work is lost. Once
 * a comes back first, once b.
 *   node scripts/drills/units.ts [a|b] [--master | --masters | --s3 | --s3=numbered]     with a letter only the round in which that one is first
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import {
  agent,
  type AgentHandle,
  check,
  differences,
  fingerprint,
  join,
  kill,
  storage,
  syncline,
  until,
  workspace,
} from "./lib.ts";

const space = workspace("units");
const { url, away, back, rest } = await storage(space);
syncline(space, ["init", url]);
const agents = { a: agent(space, "a", url), b: agent(space, "b", url) };
const both = Object.values(agents);
const [only] = rest;
if (only !== undefined && only !== "a" && only !== "b") throw new Error(`no agent is called ${only}`);
for (const first of only === undefined ? (["a", "b"] as const) : ([only] as const)) await round(first);
for (const each of both) each.unmount();
check(syncline(space, ["verify", url, "--json"]).status === 0, "verify finds nothing");

async function round(first: keyof typeof agents) {
  if (away === undefined || back === undefined) throw new Error("this bucket cannot be taken away");
  const second = first === "a" ? "b" : "a";
  const folder = `${first}-first`;
  const { a } = agents;
  mkdirSync(join(a.dir, folder, "work"), { recursive: true });
  git(join(a.dir, folder, "work"), "init", "--quiet");
  commit(a, folder, "first");
  sql(a, folder, "create table t (who text); insert into t values ('base')", "checkpoint");
  a.flush();
  await oneRoot();
  // What nobody has read yet cannot be read while the bucket is away.
  for (const { dir } of both) fingerprint(dir);

  await away();
  for (const [who, each] of Object.entries(agents)) {
    // What comes first is sealed as an epoch that cannot leave: it has a part of the database.
    sql(each, folder, `insert into t values ('${who} early')`, "leave");
    for (const count of [1, 2, 3]) commit(each, folder, `${who} ${count}`);
    sql(each, folder, `insert into t values ('${who} late')`, "leave");
  }
  // One stands still until the other has published all of its work.
  kill(agents[second].pid, "SIGSTOP");
  try {
    await back();
    agents[first].flush();
  } finally {
    kill(agents[second].pid, "SIGCONT");
  }
  agents[second].flush();
  await oneRoot();

  const [onA, onB] = [fingerprint(a.dir), fingerprint(agents.b.dir)];
  check(differences(onA, onB).length === 0, `${first} first: one tree on both: ${onA.size} files`);
  checkRepositories(join(a.dir, folder, "work"));
  checkDatabases(a, folder);
}

async function oneRoot() {
  const drained = () => both.every(({ status }) => status().pending.files === 0);
  await until(drained, 120_000, "both queues to drain", 100);
  await until(() => agents.a.status().base === agents.b.status().base, 120_000, "one root on both", 100);
}

function checkRepositories(work: string) {
  const repositories = readdirSync(work).filter((name) => name.startsWith(".git"));
  check(repositories.length === 2, `two repositories: ${repositories.join(", ")}`);
  const subjects = new Set<string>();
  for (const name of repositories) {
    const checked = run("git", ["--git-dir", join(work, name), "fsck", "--full", "--strict"], work);
    check(checked.status === 0 && checked.stderr === "", `git fsck of ${name}: ${checked.stderr || "clean"}`);
    const printed = run("git", ["--git-dir", join(work, name), "log", "--format=%s"], work).stdout;
    const log = printed.trim().split("\n");
    check(log.length === 4, `${name} has one whole history: ${log.join(", ")}`);
    for (const subject of log) subjects.add(subject);
  }
  check(subjects.size === 7, `all commits can be reached: ${[...subjects].sort().join(", ")}`);
}

function checkDatabases(at: AgentHandle, folder: string) {
  const files = readdirSync(join(at.dir, folder)).filter((name) => name.includes(".db"));
  const databases = files.filter((name) => name.endsWith(".db"));
  check(databases.length === 2, `two databases: ${files.join(", ")}`);
  const rows = new Set<string>();
  for (const name of databases) {
    const [integrity, ...found] = sql(at, folder, "", "read", name);
    check(integrity === "ok", `integrity_check of ${name}: ${integrity}`);
    check(found.length === 3, `${name} has one side's rows: ${found.join(", ")}`);
    for (const row of found) rows.add(row);
  }
  check(rows.size === 5, `all rows are there: ${[...rows].sort().join(", ")}`);
}

function commit({ dir }: AgentHandle, folder: string, subject: string) {
  const where = join(dir, folder, "work");
  writeFileSync(join(where, `${subject}.bin`), subject);
  git(where, "add", ".");
  git(where, "-c", "user.name=d", "-c", "user.email=d@example.org", "commit", "--quiet", "-m", subject);
}

function git(where: string, ...args: string[]) {
  const done = run("git", args, where);
  if (done.status !== 0) throw new Error(`git ${args.join(" ")}: ${done.stderr}`);
}

/**
 * Runs SQL in WAL mode on the mount's database. `checkpoint`: closes it, which takes the log in; `leave`: ends without closing, so
 * that what was committed is in the log alone; `read`: integrity and rows.
 */
function sql(
  { dir }: AgentHandle,
  folder: string,
  text: string,
  how: "checkpoint" | "leave" | "read",
  name = "app.db",
) {
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
  const done = run("python3", ["-c", script, join(dir, folder, name), text, how], space.path);
  if (done.status !== 0) throw new Error(`sqlite: ${done.stderr}`);
  return done.stdout.trim().split("\n");
}

function run(command: string, args: readonly string[], cwd: string) {
  return spawnSync(command, args, { cwd, encoding: "utf8", env: { ...space.env, GIT_CONFIG_GLOBAL: "/dev/null" } });
}
