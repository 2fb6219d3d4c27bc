/**
 * PostgreSQL on a mount, while another agent writes to the bucket: pgbench meets no error; killed with kill -9 in the midst of it,
 * PostgreSQL recovers with every transaction that it acknowledged, and amcheck finds nothing.
 *   node scripts/drills/postgres.ts [SECONDS] [--master]
 * Needs PostgreSQL with its contrib modules, such as Debian's package postgresql, and a user of that name.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { agent, alive, check, join, kill, mkdirSync, report, run, storage, syncline, until, workspace } from "./lib.ts";

const space = workspace("postgres");
const { url, rest } = await storage(space);
const seconds = Number(rest[0] ?? 20);
const CLIENTS = 4;
const bin = newest("/usr/lib/postgresql") ?? skip("there is no PostgreSQL in /usr/lib/postgresql");
const idOf = (flag: string) => Number(run("id", [flag, "postgres"]));
const [uid, gid] = [idOf("-u"), idOf("-g")];
syncline(space, ["init", url]);
const a = agent(space, "a", url);
const b = agent(space, "b", url);

// PostgreSQL refuses to run as root: its user has to get to what lies in the workspace.
chmodSync(space.path, 0o755);
const own = join(space.path, "postgres");
const data = join(a.dir, "data");
for (const folder of [own, data]) {
  mkdirSync(folder);
  chownSync(folder, uid, gid);
}
chmodSync(data, 0o700);
const port = await freePort();
const log = join(own, "server.log");
const access = ["-h", "127.0.0.1", "-p", String(port)];

const life = { ended: false, server: 0 };
const beside = changes();
await postgres("initdb", ["-D", data, "-A", "trust", "--no-instructions"]);
await startServer();
await postgres("psql", [...access, "-qc", "create extension amcheck", "postgres"]);
await postgres("pgbench", [...access, "-i", "-q", "-s", "5", "postgres"]);

const undisturbed = await pgbench("undisturbed", seconds);
const rows = await sums();
check(
  undisturbed.status === 0 && rows.history === undisturbed.acknowledged,
  `pgbench for ${seconds} s: ${undisturbed.acknowledged} transactions, each there once`,
);
check(complaints() === "", `PostgreSQL complains of nothing${complaints()}`);
await amcheck();

for (const round of [1, 2, 3]) {
  const before = (await sums()).history;
  const cut = pgbench(`cut-${round}`, 3_600);
  await pause(Math.max(2_000, (seconds * 1_000) / 5));
  await killServer();
  const { acknowledged } = await cut;
  renameSync(log, `${log}.${round}`);
  await startServer();
  const after = (await sums()).history;
  check(
    /redo done|redo is not required/.test(readFileSync(log, "utf8")),
    `killed -9, PostgreSQL recovers (round ${round})`,
  );
  check(
    after >= before + acknowledged && after <= before + acknowledged + CLIENTS,
    `all ${acknowledged} acknowledged transactions are there, and ${after - before - acknowledged} whose answer was cut off`,
  );
  check(complaints() === "", `PostgreSQL complains of nothing${complaints()}`);
  await amcheck();
}
await postgres("pg_ctl", ["-D", data, "-m", "fast", "-w", "stop"]);
space.pids.delete(life.server);
life.ended = true;
check((await beside) > 0, `another agent made ${await beside} changes meanwhile`);
check(a.flush().published, "all is published");
a.unmount();
b.unmount();
check(syncline(space, ["verify", url, "--json"]).status === 0, "verify finds nothing");

async function startServer(): Promise<void> {
  const options = `-p ${port} -c unix_socket_directories= -c listen_addresses=127.0.0.1`;
  await postgres("pg_ctl", ["-D", data, "-l", log, "-o", options, "-w", "-t", "120", "start"]);
  life.server = Number(readFileSync(join(data, "postmaster.pid"), "utf8").split("\n")[0]);
  space.pids.add(life.server);
}

/** kill -9 for the server and all of its processes. */
async function killServer(): Promise<void> {
  const children = run("ps", ["-o", "pid=", "--ppid", String(life.server)])
    .trim()
    .split(/\s+/)
    .map(Number);
  const all = [life.server, ...children];
  for (const pid of all) kill(pid);
  await until(() => !all.some(alive), 60_000, "the server's processes to end");
  space.pids.delete(life.server);
}

/** Runs pgbench; how it ended, and how many transactions were acknowledged to it. */
async function pgbench(name: string, forSeconds: number) {
  const prefix = join(own, name);
  const args = ["-n", "-c", String(CLIENTS), "-j", "2", "-T", String(forSeconds), "-l", `--log-prefix=${prefix}`];
  const { status } = await execute("pgbench", [...access, ...args, "postgres"]);
  const logs = readdirSync(own).filter((file) => file.startsWith(`${name}.`));
  const lines = logs.map((file) => readFileSync(join(own, file), "utf8").split("\n").length - 1);
  return { status, acknowledged: lines.reduce((sum, each) => sum + each, 0) };
}

/** pgbench keeps four sums that must be the same; its history has a row for each transaction. */
async function sums() {
  const query = `select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),
    (select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from pgbench_history),
    (select count(*) from pgbench_history)`;
  const { output } = await postgres("psql", [...access, "-Atc", query, "postgres"]);
  const [accounts, tellers, branches, deltas, history = NaN] = output.trim().split("|").map(Number);
  check(
    accounts === tellers && tellers === branches && branches === deltas,
    `the sums of ${history} transactions agree: ${accounts}`,
  );
  return { history };
}

async function amcheck(): Promise<void> {
  const { output } = await postgres("pg_amcheck", [...access, "--heapallindexed", "--parent-check", "postgres"]);
  check(output.trim() === "", "amcheck finds nothing");
}

/** What the server's log has beyond what is usual. */
function complaints(): string {
  const lines = readFileSync(log, "utf8").split("\n");
  return lines.filter((line) => /PANIC|ERROR|WARNING|could not|Interrupted/.test(line)).join("\n");
}

interface Ended {
  readonly status: number | null;
  readonly output: string;
}

/** Runs one of PostgreSQL's programs as its user. Throws when it fails. */
async function postgres(program: string, args: readonly string[]): Promise<Ended> {
  const result = await execute(program, args);
  if (result.status !== 0) throw new Error(`${program} ended with ${result.status}: ${result.output}${logTail()}`);
  return result;
}

async function execute(program: string, args: readonly string[]): Promise<Ended> {
  const child = spawn(
    "setpriv",
    ["--reuid=postgres", "--regid=postgres", "--init-groups", join(bin, program), ...args],
    { cwd: own, stdio: ["ignore", "pipe", "pipe"] },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (output += text.toString()));
  // The server holds the pipes of what started it.
  const [status] = (await once(child, program === "pg_ctl" ? "exit" : "close")) as [number | null];
  return { status, output };
}

function logTail(): string {
  try {
    return readFileSync(log, "utf8").split("\n").slice(-20).join("\n");
  } catch {
    return "";
  }
}

/** Files that come, change and go at the other agent, in the same bucket. */
async function changes(): Promise<number> {
  const folder = join(b.dir, "beside");
  mkdirSync(folder);
  let count = 0;
  for (; !life.ended; count++) {
    writeFileSync(join(folder, `file-${count % 40}`), `change ${count}\n`.repeat(count % 2000));
    if (count % 7 === 0) rmSync(join(folder, `file-${(count + 1) % 40}`), { force: true });
    await pause(50);
  }
  return count;
}

function newest(folder: string): string | undefined {
  try {
    const [version] = readdirSync(folder).sort((one, other) => Number(other) - Number(one));
    return version === undefined ? undefined : join(folder, version, "bin");
  } catch {
    return undefined;
  }
}

function skip(why: string): never {
  report(`skipped: ${why}`);
  process.exit(0);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: free } = server.address() as AddressInfo;
  server.close();
  return free;
}
