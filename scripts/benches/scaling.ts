/**
 * What a request costs with 1, 2 and 4 masters on one PostgreSQL and one versitygw: requests a second of each kind, and the processor time that one
 * takes in a master, in PostgreSQL, in S3 and in the clients, which all share this machine. Then what a root, a pack and a block
 * occupy in the table, the log and a master's cache.
 *   node scripts/benches/scaling.ts [SECONDS for each kind, default 5] [BLOCKS for the sizes, default 200000]
 */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { signToken } from "../../src/crypto/token.ts";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { block, car, createChain, type Made } from "../drills/commits.ts";
import { cpuMs, type MasterHandle, report, workspace } from "../drills/lib.ts";
import { shared } from "../drills/shared-masters.ts";

const [seconds = 5, blocks = 200_000] = process.argv.slice(2).map(Number);
const [CLIENTS, BLOCK_BYTES, PER_UPLOAD, OWNERS] = [16, 64 << 10, 2_000, 8];

interface Owner {
  readonly token: string;
  readonly bucket: string;
  readonly chain: Awaited<ReturnType<typeof createChain>>;
  last: Made;
}

const space = workspace("scaling");
const { postgres, s3, master } = await shared(space);
const wallets = Array.from({ length: OWNERS }, (_, seed) => walletSigner(Buffer.alloc(32, seed + 1)));
const allowed = wallets.flatMap(({ wallet }) => ["--allow", wallet]);
const masters: MasterHandle[] = [];
const stored = new Map<Owner, string[]>();

for (const count of [1, 2, 4]) {
  while (masters.length < count) masters.push(await master(allowed));
  const owners = await Promise.all(Array.from({ length: CLIENTS }, (_, which) => begin(which, count)));
  await measured(count, "read a root", owners, async (one, owner) => {
    await call(one, owner, "GET", `/v1/buckets/${owner.bucket}/root`);
  });
  await measured(count, "upload 64 KiB", owners, async (one, owner) => {
    const made = block("raw", randomBytes(BLOCK_BYTES));
    await call(one, owner, "POST", "/v1/blocks", car([made]));
    stored.get(owner)?.push(made.cid);
  });
  await measured(count, "read 64 KiB", owners, async (one, owner) => {
    const cids = stored.get(owner) ?? [];
    const cid = cids[Math.floor(Math.random() * cids.length)];
    await call(one, owner, "POST", "/v1/blocks/get", JSON.stringify({ cids: [cid] }));
  });
  await measured(count, "publish: upload of 6 small blocks, swap", owners, publish);
}
await sizes();
process.exit(0);

async function begin(which: number, count: number): Promise<Owner> {
  const wallet = wallets[which % OWNERS];
  const one = masters[which % count];
  if (wallet === undefined || one === undefined) throw new Error("no wallet or no master");
  const token = await signToken(wallet, Math.floor(Date.now() / 1_000), 86_400);
  const chain = await createChain(wallet);
  const owner: Owner = { token, chain, bucket: `b${count}-${which}`, last: chain.make("first") };
  stored.set(owner, []);
  await call(one, owner, "POST", "/v1/blocks", car(owner.last.blocks));
  await swap(one, owner, owner.last, { "if-none-match": "*" });
  return owner;
}

async function publish(one: MasterHandle, owner: Owner): Promise<void> {
  const next = owner.chain.make(randomBytes(8).toString("hex"), owner.last);
  await call(one, owner, "POST", "/v1/blocks", car(next.blocks));
  await swap(one, owner, next, { "if-match": `"${owner.last.commit.cid}"` });
  owner.last = next;
}

function swap(one: MasterHandle, owner: Owner, { commit }: Made, condition: Readonly<Record<string, string>>) {
  return call(one, owner, "PUT", `/v1/buckets/${owner.bucket}/root`, JSON.stringify({ root: commit.cid }), condition);
}

/** Each owner's client works at one master, and only there. */
async function measured(
  count: number,
  what: string,
  owners: readonly Owner[],
  work: (one: MasterHandle, owner: Owner) => Promise<void>,
): Promise<void> {
  const before = spent();
  const began = performance.now();
  let done = 0;
  await Promise.all(
    owners.map(async (owner, which) => {
      const one = masters[which % count];
      if (one === undefined) return;
      for (; performance.now() - began < seconds * 1_000; done++) await work(one, owner);
    }),
  );
  const after = spent();
  const each = (who: keyof typeof before) => Number(((after[who] - before[who]) / done).toFixed(3));
  const perSecond = Math.round((done * 1_000) / (performance.now() - began));
  const cpu = { master: each("masters"), postgres: each("postgres"), s3: each("s3"), client: each("client") };
  report(JSON.stringify({ masters: count, what, "per second": perSecond, "CPU ms": cpu }));
}

function spent() {
  const { user, system } = process.cpuUsage();
  return {
    masters: masters.reduce((sum, { pid }) => sum + cpuMs(pid), 0),
    postgres: childrenOf(postgres.pid).reduce((sum, pid) => sum + cpuMs(pid), endedMs(postgres.pid)),
    s3: cpuMs(s3.pid),
    client: (user + system) / 1_000,
  };
}

/** Processor time of children that have ended (proc(5): ticks of 10 ms). */
function endedMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[13]) + Number(fields[14])) * 10;
}

function childrenOf(parent: number): number[] {
  const isChild = (pid: string) => {
    try {
      return (
        Number(
          readFileSync(`/proc/${pid}/stat`, "utf8")
            .replace(/^.*\) . /s, "")
            .split(" ")[0],
        ) === parent
      );
    } catch {
      return false;
    }
  };
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && isChild(name))
    .map(Number);
}

async function sizes(): Promise<void> {
  const [one] = masters;
  const owner = await begin(0, 8);
  if (one === undefined) return;
  const [cacheBefore, rssBefore] = [sizeBelow(one.data), one.rssMiB()];
  const began = performance.now();
  for (let at = 0; at < blocks; at += PER_UPLOAD) {
    const many = Array.from({ length: PER_UPLOAD }, () => block("raw", randomBytes(100)));
    await call(one, owner, "POST", "/v1/blocks", car(many));
  }
  const seconds = (performance.now() - began) / 1_000;
  const cache = sizeBelow(one.data) - cacheBefore;
  const database = new Client({ connectionString: postgres.url });
  await database.connect();
  await database.query(
    `INSERT INTO bucket_roots (owner_id, bucket, root_cid)
     SELECT '0x' || lpad(to_hex(n % 1000), 40, '0'), 'bucket-' || n, repeat('b', 59) FROM generate_series(1, 100000) AS n`,
  );
  const rows: Record<string, number> = {};
  for (const table of ["bucket_roots", "syncline_packs"]) {
    const sql = `SELECT pg_total_relation_size('${table}')::float8 / greatest(count(*), 1) AS bytes, count(*)::int AS count FROM ${table}`;
    const [row] = (await database.query<{ bytes: number; count: number }>(sql)).rows;
    rows[`${table}, bytes a row (${row?.count})`] = Math.round(row?.bytes ?? 0);
  }
  await database.end();
  report(
    JSON.stringify({
      blocks,
      "blocks a second": Math.round(blocks / seconds),
      "cache, bytes a block": Math.round(cache / blocks),
      "RSS of the master, MiB": [Math.round(rssBefore), Math.round(one.rssMiB())],
      ...rows,
    }),
  );
}

function sizeBelow(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

async function call(
  one: MasterHandle,
  { token }: Owner,
  method: string,
  path: string,
  body?: string | Uint8Array,
  more = {},
): Promise<void> {
  const type = typeof body === "string" ? "application/json" : "application/vnd.ipld.car; version=1";
  const headers = { authorization: `Bearer ${token}`, "content-type": type, ...more };
  for (;;) {
    const answer = await fetch(`${one.origin}${path}`, {
      method,
      headers,
      ...(body !== undefined && { body: Buffer.from(body) }),
    });
    await answer.arrayBuffer();
    if (answer.ok) return;
    if (answer.status !== 503 && answer.status !== 429) throw new Error(`${method} ${path} answers ${answer.status}`);
  }
}
