/**
 * Many clients at one master on PostgreSQL and S3: watchers of eight owners' buckets, whose roots change all the time, and concurrent
 * uploaders. No watcher misses the last root, every acknowledged block is there, memory and connections stay level.
 *   node scripts/drills/watchers.ts [SECONDS, default 60] [WATCHERS, default 500] [UPLOADERS, default 64]
 */
import { randomBytes } from "node:crypto";
import { Agent, get } from "node:http";
import { Client } from "pg";
import type { Cid } from "../../src/base/ids.ts";
import { signToken } from "../../src/crypto/token.ts";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { block, car, type Chain, createChain, type Made } from "./commits.ts";
import { check, cpuMs, pause, percentile, report, until, workspace } from "./lib.ts";
import { shared } from "./shared-masters.ts";

interface Owner {
  readonly token: string;
  readonly chain: Chain;
  readonly stored: Cid[];
  last: Made;
}

const [OWNERS, EVERY_MS, SWAP_MS] = [8, 10_000, 500];
const [LEAST_BYTES, MOST_BYTES] = [64 << 10, 1 << 20];
/** How many stored blocks of each owner are looked for at the end. */
const LOOKED_FOR = 2_000;
const [seconds = 60, watchers = 500, uploaders = 64] = process.argv.slice(2).map(Number);
const space = workspace("watchers");
const { postgres, master } = await shared(space);
const wallets = Array.from({ length: OWNERS }, (_, seed) => walletSigner(Buffer.alloc(32, seed + 1)));
const allowed = wallets.flatMap(({ wallet }) => ["--allow", wallet]);
// As `service install` starts agents (NODE_FLAGS in src/runtime/memory.ts).
const served = await master(allowed, { flags: ["--max-semi-space-size=2", "--max-old-space-size=6144"] });
const sockets = new Agent({ keepAlive: true, maxSockets: Infinity });
const database = new Client({ connectionString: postgres.url });
await database.connect();
const owners = await Promise.all(wallets.map(begin));
const took = { upload: [] as number[], swap: [] as number[], event: [] as number[] };
const busy = { uploads: 0, swaps: 0 };
/** When the swap to a root was sent. */
const sentMs = new Map<string, number>();
const seen: string[] = Array.from({ length: watchers }, () => "");
const memory: number[] = [];
const state = { isOver: false };

for (let which = 0; which < watchers; which++) watch(which);
await until(() => seen.every((root) => root !== ""), 60_000, "all watchers to hear of a root", 50);
report(`      ${watchers} watchers`);
const work = [
  ...owners.map(swapAgain),
  ...Array.from({ length: uploaders }, (_, which) => uploadAgain(ownerOf(which))),
];
const began = performance.now();
for (let cpu = cpuMs(served.pid); performance.now() - began < seconds * 1000;) {
  await pause(EVERY_MS);
  const sql = "SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = 'syncline'";
  const [row] = (await database.query<{ count: number }>(sql)).rows;
  const nowCpu = cpuMs(served.pid);
  memory.push(served.rssMiB());
  const used = `${served.rssMiB().toFixed(0)} MiB, ${((nowCpu - cpu) / EVERY_MS).toFixed(2)} CPU, ${row?.count} connections`;
  report(`      ${((performance.now() - began) / 1000).toFixed(0)} s: ${used}, ${took.upload.length} uploads`);
  cpu = nowCpu;
}
state.isOver = true;
await Promise.all(work);
for (const owner of owners) await swapNext(owner);
const isLast = (root: string, which: number) => root === ownerOf(which).last.commit.cid;
await until(() => seen.every(isLast), 30_000, "all watchers to hear of the last root", 50).catch(() => {});
check(seen.every(isLast), `${seen.filter(isLast).length} of ${watchers} watchers have heard of the last root`);
let missing = 0;
for (const owner of owners) {
  const cids = owner.stored.slice(-LOOKED_FOR);
  const answer = await call(owner, "POST", "/v1/blocks/have", JSON.stringify({ cids }));
  missing += ((await answer.json()) as { missing: string[] }).missing.length;
}
check(missing === 0, `${missing} of the last ${OWNERS} × ${LOOKED_FOR} acknowledged blocks are missing`);
const third = Math.floor(memory.length / 3);
const [middle, last] = [memory.slice(third, 2 * third), memory.slice(-third)].map((part) => percentile(part, 0.5));
if (middle !== undefined && last !== undefined && third > 2)
  check(
    last < 1.15 * middle,
    `memory is level: median ${middle.toFixed(0)} MiB in the middle, then ${last.toFixed(0)}`,
  );
for (const [what, all] of Object.entries(took)) {
  const [half, most] = [percentile(all, 0.5), percentile(all, 0.99)];
  report(`      ${what}: ${all.length}, p50 ${half.toFixed(1)} ms, p99 ${most.toFixed(1)} ms`);
}
report(`      told to come back later: ${busy.uploads} uploads, ${busy.swaps} swaps`);
await database.end();
process.exit(0);

function ownerOf(which: number): Owner {
  const owner = owners[which % OWNERS];
  if (owner === undefined) throw new Error("no owner");
  return owner;
}

async function begin(wallet: (typeof wallets)[number]): Promise<Owner> {
  const token = await signToken(wallet, Math.floor(Date.now() / 1_000), 86_400);
  const chain = await createChain(wallet);
  const owner = { token, chain, stored: [], last: chain.make("first") };
  await call(owner, "POST", "/v1/blocks", car(owner.last.blocks));
  await call(owner, "PUT", "/v1/buckets/watched/root", rootOf(owner.last), { "if-none-match": "*" });
  return owner;
}

async function swapAgain(owner: Owner) {
  while (!state.isOver) {
    await swapNext(owner);
    await pause(SWAP_MS * OWNERS * 0.5);
  }
}

/** Until it is accepted: nobody else writes this bucket. */
async function swapNext(owner: Owner) {
  const { cid } = owner.last.commit;
  const next = owner.chain.make(randomBytes(8).toString("hex"), owner.last);
  for (;;) {
    const startMs = performance.now();
    const stored = await call(owner, "POST", "/v1/blocks", car(next.blocks));
    sentMs.set(next.commit.cid, performance.now());
    const condition = { "if-match": `"${cid}"` };
    const swapped = stored.ok && (await call(owner, "PUT", "/v1/buckets/watched/root", rootOf(next), condition)).ok;
    if (swapped) {
      took.swap.push(performance.now() - startMs);
      owner.last = next;
      return;
    }
    busy.swaps++;
    await pause(100);
  }
}

async function uploadAgain(owner: Owner) {
  while (!state.isOver) {
    const bytes = randomBytes(LEAST_BYTES + Math.floor(Math.random() * (MOST_BYTES - LEAST_BYTES)));
    const one = block("raw", bytes);
    const startMs = performance.now();
    const { ok } = await call(owner, "POST", "/v1/blocks", car([one]));
    if (ok) {
      took.upload.push(performance.now() - startMs);
      owner.stored.push(one.cid);
    } else {
      busy.uploads++;
      await pause(100);
    }
  }
}

function watch(which: number) {
  const { token } = ownerOf(which);
  const { hostname: host, port } = new URL(served.origin);
  const headers = { authorization: `Bearer ${token}` };
  get({ host, port, path: "/v1/buckets/watched/watch", agent: sockets, headers }, (answer) => {
    if (answer.statusCode !== 200) throw new Error(`a watch answers ${answer.statusCode}`);
    let text = "";
    answer.on("data", (part: Buffer) => {
      text += part.toString();
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        if (!line.startsWith("data: ")) continue;
        const { root } = JSON.parse(line.slice(6)) as { root: string };
        seen[which] = root;
        const sent = sentMs.get(root);
        if (sent !== undefined) took.event.push(performance.now() - sent);
      }
    });
  }).on("error", (error) => {
    if (!state.isOver) throw error;
  });
}

function rootOf({ commit }: Made): string {
  return JSON.stringify({ root: commit.cid });
}

/** The answer; its body is read unless it is asked for. */
async function call(
  { token }: Pick<Owner, "token">,
  method: string,
  path: string,
  body: string | Uint8Array,
  more = {},
): Promise<Response> {
  const type = typeof body === "string" ? "application/json" : "application/vnd.ipld.car; version=1";
  const headers = { authorization: `Bearer ${token}`, "content-type": type, ...more };
  const answer = await fetch(`${served.origin}${path}`, { method, headers, body: Buffer.from(body) });
  const bytes = await answer.arrayBuffer();
  return new Response(bytes, { status: answer.status });
}
