/**
 * PostgreSQL goes back under agents that are ahead: it is restored to a moment, an asynchronous standby that lags is promoted, a
 * copy of its disk is put back, all roots are deleted. No agent's file changes, what is written meanwhile waits, nothing is collected; after --accept on one machine all
 * stand on one tree with everything that anybody published before or after.
 *   node scripts/drills/arbiter-back.ts [FILES of each phase, default 20] [LOSS ...]     needs root, PostgreSQL and versitygw
 * LOSS: restored, promoted, snapshot, deleted; default all
 */
import { chownSync, mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { Client } from "pg";
import {
  agent,
  type AgentHandle,
  check,
  differences,
  fingerprint,
  join,
  type MasterHandle,
  report,
  run,
  syncline,
  until,
  workspace,
} from "./lib.ts";
import { allOf, shared } from "./shared-masters.ts";

const files = Number(process.argv[2] ?? 20);
const losses = process.argv.slice(3);
const CODES = Array.from({ length: 64 }, (_, code) => code);
const space = workspace("arbiter-back");
const archive = join(space.path, "archive");
mkdirSync(archive);
const settings = ["wal_level=replica", "archive_mode=on", `archive_command=cp %p ${archive}/%f`, "max_wal_senders=4"];
chownSync(archive, Number(run("id", ["-u", "postgres"])), Number(run("id", ["-g", "postgres"])));
const { postgres, s3, master } = await shared(space, undefined, settings);
const masters: [MasterHandle, MasterHandle] = [await master(), await master()];
const url = (bucket: string) => allOf(masters, bucket);

await goesBack("restored", async () => {
  const backup = join(space.path, "postgres/backup");
  postgres.backUp(backup);
  const [row] = await query<{ now: string }>("SELECT clock_timestamp()::text AS now");
  return async () => {
    // In order, so that the last of the log is archived.
    await postgres.stop("SIGTERM");
    writeFileSync(join(backup, "recovery.signal"), "");
    const target = [`recovery_target_time=${row?.now}`, "recovery_target_action=promote"];
    postgres.use({ data: backup, settings: [`restore_command=cp ${archive}/%f %p`, ...target] });
    await until(isPrimary, 60_000, "the end of recovery", 50);
  };
});
await goesBack("promoted", async () => {
  const data = join(space.path, "postgres/standby");
  postgres.backUp(data, true);
  const standby = await postgres.standby(data);
  const doubted = await master();
  check(readFileSync(doubted.logFile, "utf8").includes("asynchronous"), "a master that starts warns of the standby");
  await doubted.stop();
  await query("ALTER SYSTEM SET primary_conninfo = ''", standby.url);
  await query("SELECT pg_reload_conf()", standby.url);
  const isCut = async () => (await query("SELECT 1 FROM pg_stat_wal_receiver", standby.url)).length === 0;
  await until(isCut, 30_000, "the standby to be cut off", 50);
  return async () => {
    await postgres.stop("SIGKILL");
    standby.promote();
    await standby.stop("SIGTERM");
    postgres.use({ data, settings: [] });
  };
});
await goesBack("snapshot", async () => {
  const copy = join(space.path, "postgres/copy");
  postgres.backUp(copy);
  return async () => {
    // A collection beats: otherwise, the next beat might be a minute away.
    syncline(space, ["gc", url("snapshot")]);
    await postgres.stop("SIGKILL");
    postgres.use({ data: copy, settings: [] });
  };
});
if (isWanted("deleted")) await rootsDeleted();

/** `lag`: from when it resolves, everything is lost by what it returns. */
async function goesBack(bucket: string, lag: () => Promise<() => Promise<void>>) {
  if (!isWanted(bucket)) return;
  const where = url(bucket);
  syncline(space, ["init", where]);
  const agents = [0, 1, 2].map((which) => agent(space, `${bucket}-${which}`, where));
  const late = ["--state", join(space.path, `${bucket}-late`)];
  const put = (name: string, more: readonly string[], expect = [0]) => {
    writeFileSync(join(space.path, "put"), `${name}\n`);
    const [address, path] = [`${where}/${name}`, join(space.path, "put")];
    return syncline(space, ["put", path, address, ...more], { expect });
  };
  write(agents, "before");
  await settled(agents);
  put("known-late", late);
  await settled(agents);
  const goBack = await lag();
  write(agents, "lost");
  for (const [which, { dir }] of agents.entries()) {
    writeFileSync(join(dir, `before-${which}-0`), `changed by ${which}\n`);
    rmSync(join(dir, `before-${which}-1`));
  }
  await settled(agents);
  const trees = agents.map(({ dir }) => fingerprint(dir));
  await goBack();
  put("written-late", late);
  const isTold = ({ status }: AgentHandle) => status().lastError?.code === "root_rolled_back";
  write(agents, "during", 1);
  for (const one of agents) one.flush({ expect: CODES });
  await until(() => agents.every(isTold), 60_000, "all agents to notice", 250);
  const isNew = (path: string) => path.startsWith("during");
  const changed = agents.flatMap(({ dir }, which) =>
    differences(trees[which] ?? new Map(), fingerprint(dir, { skip: isNew })),
  );
  check(changed.length === 0, `${bucket}: no file of an agent changed; all say root_rolled_back`);
  const refused = syncline(space, ["gc", where, ...late], { expect: CODES });
  check(refused.stderr.includes("restored or replaced"), `${bucket}: nothing is collected`);

  const [first] = agents;
  if (first === undefined) throw new Error("no agent");
  first.unmount({ expect: [3] });
  first.mount(["--accept"]);
  await settled(agents);
  const [tree, ...others] = agents.map(({ dir }) => fingerprint(dir));
  if (tree === undefined) throw new Error("no tree");
  check(
    others.every((other) => differences(tree, other).length === 0),
    `${bucket}: one tree on all after --accept on one: ${tree.size} paths`,
  );
  const wanted = agents.flatMap((_, which) => [
    ...Array.from({ length: files }, (__, file) => `before-${which}-${file}`).filter((name) => !name.endsWith("-1")),
    ...Array.from({ length: files }, (__, file) => `lost-${which}-${file}`),
    `during-${which}-0`,
  ]);
  const all = [...wanted, "known-late", "written-late"].toSorted();
  check([...tree.keys()].toSorted().join() === all.join(), `${bucket}: all ${all.length} files, and no other`);
  check(
    agents.every((_, which) => readFileSync(join(first.dir, `before-${which}-0`), "utf8") === `changed by ${which}\n`),
    `${bucket}: lost changes are back`,
  );
  check(syncline(space, ["verify", where, "--json"]).status === 0, `${bucket}: verify finds nothing`);
  await acceptRoots();
  syncline(space, ["gc", where, ...late]);
  check(syncline(space, ["verify", where, "--json"]).status === 0, `${bucket}: nor after a collection`);
  await settled(agents);
  check(differences(tree, fingerprint(first.dir)).length === 0, `${bucket}: nor has the tree changed`);
  for (const one of agents) one.unmount();
}

/** All roots are gone, and put back from packs alone. */
async function rootsDeleted() {
  const where = url("rescued");
  syncline(space, ["init", where]);
  const agents = [0, 1].map((which) => agent(space, `rescued-${which}`, where));
  write(agents, "before");
  await settled(agents);
  const [first] = agents;
  if (first === undefined) throw new Error("no agent");
  const tree = fingerprint(first.dir);
  await query("DELETE FROM bucket_roots");
  write(agents, "during", 1);
  for (const one of agents) one.flush({ expect: CODES });
  const listed = syncline(space, ["rescue", s3.url("packs"), "--json"])
    .stdout.trim()
    .split("\n");
  const mine = listed
    .map((line) => JSON.parse(line) as { genesis: string; commits?: { commit: string }[] })
    .find(({ commits }) => commits?.some(({ commit }) => commit === first.status().base) === true);
  if (mine === undefined) throw new Error("the bucket is not listed");
  // The commit, not the genesis: an attempt that lost may be as new. That is so in the other buckets (4).
  const named = ["--put", "--name", `rescued=${first.status().base}`];
  syncline(space, ["rescue", s3.url("packs"), "--arbiter", postgres.url, ...named], { expect: [0, 4] });
  await settled(agents);
  const now = fingerprint(first.dir, { skip: (path) => path.startsWith("during") });
  check(
    differences(tree, now).length === 0,
    `all roots deleted: rescue found ${listed.length} buckets, no file changed`,
  );
  check(
    agents.every(({ dir }) => agents.every((_, which) => statSync(join(dir, `during-${which}-0`)).size > 0)),
    "what was written meanwhile is on all agents",
  );
  check(syncline(space, ["verify", where, "--json"]).status === 0, "verify finds nothing");
  for (const one of agents) one.unmount();
}

function isWanted(loss: string) {
  return losses.length === 0 || losses.includes(loss);
}

function write(agents: readonly AgentHandle[], phase: string, many = files) {
  for (const [which, { dir }] of agents.entries())
    for (let file = 0; file < many; file++)
      writeFileSync(join(dir, `${phase}-${which}-${file}`), `${phase} ${which} ${file}\n`);
}

/** All published, and on one root. */
async function settled(agents: readonly AgentHandle[]) {
  const isSettled = () => {
    for (const one of agents) one.flush({ expect: CODES });
    const states = agents.map(({ status }) => status());
    return states.every(({ pending }) => pending.files === 0) && new Set(states.map(({ base }) => base)).size === 1;
  };
  await until(isSettled, 60_000, "all agents to settle", 250).catch((error: unknown) => {
    report(
      JSON.stringify(
        agents
          .map(({ status }) => status())
          .map(({ pending, base, lastError, masters: m }) => ({ pending, base, lastError, m })),
      ),
    );
    throw error;
  });
}

/** Restarts each master once with --accept-roots. The lost arbiter's last beat is dated back: nobody waits five minutes. */
async function acceptRoots() {
  const then = new Date(Date.now() - 300_000);
  utimesSync(join(s3.folder, "packs/owners/beats"), then, then);
  for (const one of masters) {
    await one.stop();
    await (await master(["--accept-roots"], { data: one.data })).stop();
    await one.start();
  }
}

async function isPrimary(): Promise<boolean> {
  try {
    return (await query<{ ok: boolean }>("SELECT NOT pg_is_in_recovery() AS ok"))[0]?.ok === true;
  } catch {
    return false;
  }
}

async function query<Row>(sql: string, address = postgres.url): Promise<Row[]> {
  const client = new Client({ connectionString: address });
  client.on("error", () => {});
  await client.connect();
  try {
    return (await client.query(sql)).rows as Row[];
  } finally {
    await client.end();
  }
}
