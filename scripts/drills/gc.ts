/**
 * Garbage collection beside agents that publish: collectors run one after the other, some are killed, one agent is away with
 * unpublished changes. Nothing that anybody saved is lost, `verify` finds nothing, and the bucket does not grow by the flush.
 *   node scripts/drills/gc.ts [SECONDS, default 20] [AGENTS, default 8] [--master | --masters | --s3 | --s3=numbered]
 * At a master leases last a few seconds, so that there is garbage in time; instead of the collector the master is killed.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, utimesSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import type { CollectReport } from "../../src/bucket/gc/collector.ts";
import {
  agent,
  type AgentHandle,
  check,
  checkout,
  type CommandResult,
  commitsOf,
  differences,
  fingerprint,
  join,
  kill,
  type MasterHandle,
  pidOf,
  report,
  start,
  storage,
  syncline,
  workspace,
} from "./lib.ts";

/** A master's last collection: what went, or an error. */
type Collected = { readonly number: number } & (
  | { readonly error: object; readonly dropped?: undefined }
  | { readonly error?: undefined; readonly dropped: number; readonly bytes: { before: number; after: number } }
);

const space = workspace("gc");
const LEASE = "5s";
const { url, rest, master, s3, fleet } = await storage(space, { args: ["--lease", LEASE] });
const seconds = Number(rest[0] ?? 20);
const count = Number(rest[1] ?? 8);
syncline(space, ["init", url]);
const token = master && syncline(space, ["token", "--origin", master.origin, "--ttl", "3600"]).stdout.trim();
const agents = Array.from({ length: count }, (_, index) => agent(space, `a${index}`, url));
const away = agent(space, "away", url);
const save = async (path: string, text: string, by: string | number = "") => {
  // A name of its own: what two agents save under one name are one file.
  const fresh = `${path}.${by}.new`;
  const file = await open(fresh, "w");
  await file.writeFile(text);
  await file.sync();
  await file.close();
  await rename(fresh, path);
};

// What the one that is away has saved is only in its state.
mkdirSync(join(away.dir, "away"));
await save(join(away.dir, "away/before"), "published before\n");
away.flush();
await save(join(away.dir, "away/kept"), "saved, then cut off\n");
await away.kill9();

const end = performance.now() + seconds * 1000;
const running = () => performance.now() < end;
/** Path → what was saved there last. */
const saved = new Map<string, string>();
let saves = 0;
const write = async ({ dir }: AgentHandle, index: number) => {
  const own = join(dir, `own-${index}`);
  mkdirSync(own);
  for (let round = 0; running(); round++) {
    const name = `own-${index}/f${round % 7}`;
    const text = `${index} ${round} ${"x".repeat((round * 7919) % 60_000)}\n`;
    await save(join(dir, name), text);
    saved.set(name, text);
    saves++;
    if (round % 5 === 4) {
      await rm(join(dir, name));
      saved.delete(name);
    }
    await save(join(dir, `shared-${round % 3}`), `${index} ${round}\n`, index);
    await new Promise((next) => setTimeout(next, 100));
  }
};

const ended = { collected: 0, overtaken: 0, killed: 0 };
const figures = { dropped: 0, freed: 0 };
const collect = async () => {
  for (let turn = 0; running(); turn++) {
    if (turn % 3 === 2) {
      await (master === undefined
        ? killedCollector(200 + ((turn * 373) % 900))
        : killedMaster(master, (turn * 37) % 150));
      ended.killed++;
      continue;
    }
    if (master !== undefined && turn % 6 > 0) {
      ended[(await collectedAtMaster()) ? "collected" : "overtaken"]++;
      continue;
    }
    const { status, stdout, stderr } = await start(space, ["gc", url, "--json"]);
    if (status !== 0 && status !== 4) check(false, `gc ended with ${status}: ${stderr}`);
    ended[status === 0 ? "collected" : "overtaken"]++;
    if (status !== 0) continue;
    const { dropped, freedBytes } = JSON.parse(stdout) as CollectReport;
    figures.dropped += dropped;
    figures.freed += freedBytes;
  }
};

async function killedCollector(ms: number) {
  const child = spawn(process.execPath, [join(checkout, "dist/main.js"), "gc", url], {
    env: space.env,
    stdio: "ignore",
  });
  const closed = new Promise((done) => child.on("close", done));
  setTimeout(() => kill(pidOf(child)), ms);
  await closed;
}

/** Without a command, which takes longer to start than a collection takes. */
async function collectedAtMaster() {
  const begun = await calledCollection({ method: "POST", body: "{}" });
  const { number } = (await begun.json()) as { number: number };
  for (;;) {
    const state = await calledCollection({});
    const { collected } = (await state.json()) as { collected: Collected | null };
    if (collected !== null && collected.number >= number) {
      figures.dropped += collected.dropped ?? 0;
      figures.freed += collected.error === undefined ? collected.bytes.before - collected.bytes.after : 0;
      return collected.error === undefined;
    }
    await new Promise((next) => setTimeout(next, 50));
  }
}

function calledCollection(init: RequestInit) {
  return fetch(`${master?.origin}/v1/collection`, { ...init, headers: { authorization: `Bearer ${token}` } });
}

/** Kills the master while it collects, and looks at what it left. */
async function killedMaster(master: MasterHandle, ms: number) {
  await calledCollection({ method: "POST", body: "{}" });
  await new Promise((done) => setTimeout(done, ms));
  await master.stop("SIGKILL");
  // Without a folder of its own there is nothing to look at.
  if (fleet === undefined) check(master.verify().status === 0, "verify --data finds nothing after a kill");
  await master.start();
}

/** Uploads that nobody ever swaps: garbage when their leases end. */
let abandoned = 0;
async function abandon() {
  const { cidOf } = await import("../../src/format/blocks/cid.ts");
  while (running()) {
    const body = randomBytes(1 << 20);
    const call = `${master?.origin}/v0/block?cid=${cidOf("raw", body)}`;
    const sent = fetch(call, { method: "PUT", body, headers: { authorization: `Bearer ${token}` } });
    abandoned += await sent.then(({ ok }) => (ok ? body.length : 0)).catch(() => 0);
    await new Promise((next) => setTimeout(next, 250));
  }
}

await Promise.all([...agents.map(write), collect(), ...(master === undefined ? [] : [abandon()])]);
report(
  `${saves} files saved by ${count} agents in ${seconds} s; ${JSON.stringify(ended)}; ${figures.dropped} packs dropped on the way`,
);
check(ended.collected > 0, "collectors came to an end beside the agents");
for (const each of agents) each.flush();
for (const each of agents) each.flush();
away.mount();
away.flush();
for (const each of agents) each.flush();

// What lost swaps and killed collectors left is taken once it is old enough.
if (master === undefined) makeOlder(s3 === undefined ? new URL(url).pathname : join(s3.folder, "demo"));
else await new Promise((done) => setTimeout(done, 2 * Number.parseInt(LEASE, 10) * 1000));
// 4: an agent that collects by itself was faster.
let last: CommandResult;
do last = syncline(space, ["gc", url, "--json"], { expect: [0, 4] });
while (last.status === 4);
const { objects, bytes, freedBytes, dropped } = last.json<CollectReport>();
report(
  `last collection: ${objects.before} objects, ${bytes.before} bytes before; ${objects.after} objects, ${bytes.after} bytes after; ${dropped} packs dropped`,
);
check(syncline(space, ["verify", url, "--json"]).status === 0, "verify finds nothing");
const [first, ...others] = [fingerprint(away.dir), ...agents.map(({ dir }) => fingerprint(dir))];
for (const other of others) check(differences(first, other).length === 0, "an agent shows the same tree");
const [one = away] = agents;
const wrong = [...saved].filter(([name, text]) => readFileSync(join(one.dir, name), "utf8") !== text);
check(wrong.length === 0, `${saved.size} files are as they were saved last`);
check(readFileSync(join(one.dir, "away/kept"), "utf8") === "saved, then cut off\n", "what was away arrived");
const { length } = commitsOf(space, url);
figures.freed += freedBytes;
// Packs of less than a quarter of 16 MiB are put together once there are 32 (src/bucket/gc/victims.ts).
const few = 40 + bytes.after / (4 << 20);
// In a folder, collectors that were killed may have freed all that there was.
const isFreed = master === undefined || figures.freed > abandoned / 2;
check(objects.after < few && isFreed, `${objects.after} objects hold ${length} retained roots`);
if (master !== undefined) report(`${abandoned} bytes of uploads were abandoned, ${figures.freed} came back in all`);
for (const each of [...agents, away]) each.unmount();
if (master !== undefined) {
  check((await master.stop()) === 0, "the master ends well");
  if (fleet === undefined) check(master.verify().status === 0, "verify --data finds nothing");
}

function makeOlder(folder: string) {
  const longAgo = Date.now() / 1000 - 2 * 24 * 3600;
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (/^(commit|pack|run|lease)\//.test(name)) utimesSync(join(folder, name), longAgo, longAgo);
  }
}
