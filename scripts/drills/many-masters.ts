/**
 * Two masters on one PostgreSQL and one S3 server. Masters that do not compare roots lose an update. Masters that compare lose none,
 * whichever of them a writer uses. Beside other software that writes the table, they replace nothing but a root's parent, and
 * what the other software overwrote is found.
 *   node scripts/drills/many-masters.ts [AGENTS, default 8] [COMMITS of each, default 20]
 */
import { readFileSync, writeFileSync } from "node:fs";
import { Client } from "pg";
import { systemRandom } from "../../src/base/random.ts";
import { signToken } from "../../src/crypto/token.ts";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { car, createChain, type Made } from "./commits.ts";
import {
  check,
  checkHistory,
  commitsOf,
  join,
  type MasterHandle,
  pause,
  percentile,
  report,
  start,
  syncline,
  workspace,
} from "./lib.ts";
import { shared } from "./shared-masters.ts";

/** Every change of the table, in order, by whom. */
const AUDIT = `
  CREATE TABLE drill_audit (at BIGSERIAL, program TEXT, bucket TEXT, was TEXT, root TEXT, version BIGINT);
  CREATE FUNCTION drill_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO drill_audit (program, bucket, was, root, version)
    VALUES (current_setting('application_name'), NEW.bucket,
      CASE WHEN TG_OP = 'UPDATE' THEN OLD.root_cid END, NEW.root_cid, NEW.version);
    RETURN NULL;
  END $$;
  CREATE TRIGGER drill_audit AFTER INSERT OR UPDATE ON bucket_roots FOR EACH ROW EXECUTE FUNCTION drill_audit()`;

/** The other software's statement, with its condition and without. */
const UPSERT = `
  INSERT INTO bucket_roots (owner_id, bucket, root_cid) VALUES ($1, $2, $3)
  ON CONFLICT (owner_id, bucket) DO UPDATE
  SET root_cid = EXCLUDED.root_cid, version = bucket_roots.version + 1, updated_at = CURRENT_TIMESTAMP`;
const UPSERT_IF = `${UPSERT} WHERE bucket_roots.root_cid = $4`;

const [agents, commits] = [Number(process.argv[2] ?? 8), Number(process.argv[3] ?? 20)];
/** Between other software's reading and its writing. */
const OTHERS_MS = 20;
const space = workspace("many-masters");
const { postgres, master } = await shared(space);
const owner = walletSigner(Buffer.alloc(32, 0x42));
const bearer = await signToken(owner, Math.floor(Date.now() / 1_000));
const chain = await createChain(owner);
const made = new Map<string, Made>();

await withoutComparing();
const masters = [await master(), await master()] as const;
await twoSwapsFromOneRoot(masters, "compared", 1);
await writers();
await besideOthers();
await rolledBack();

/** The lost update that comparing prevents. */
async function withoutComparing() {
  const both = [await master(["--unsafe-no-cas"]), await master(["--unsafe-no-cas"])] as const;
  await twoSwapsFromOneRoot(both, "not-compared", 2);
  for (const one of both) await one.stop();
}

/** Two clients swap from one root, each at a master of its own, at the same moment. */
async function twoSwapsFromOneRoot(pair: readonly [MasterHandle, MasterHandle], bucket: string, wins: number) {
  const name = (round: number) => `${bucket}-${round}`;
  const rounds = 20;
  let lost = 0;
  let acknowledged = 0;
  for (let round = 0; round < rounds; round++) {
    const first = make("first", undefined);
    await store(pair[0], first);
    await swap(pair[0], name(round), first, undefined);
    const rivals = pair.map((one, which) => ({ one, commit: make(`${round} ${which}`, first) }));
    for (const { one, commit } of rivals) await store(one, commit);
    const statuses = await Promise.all(rivals.map(({ one, commit }) => swap(one, name(round), commit, first)));
    const final = await current(pair[0], name(round));
    const ancestors = new Set<string>(final?.line);
    const told = rivals.filter((_, which) => statuses[which] === 200);
    acknowledged += told.length;
    lost += told.filter(({ commit }) => !ancestors.has(commit.commit.cid)).length;
  }
  const claim = `${rounds} × two swaps from one root: ${acknowledged} acknowledged, ${lost} of them lost`;
  if (wins === 1) check(acknowledged === rounds && lost === 0, `comparing, ${claim}`);
  else check(acknowledged > rounds && lost === acknowledged - rounds, `without comparing, ${claim}`);
}

/** Commands that put through both masters. */
async function writers() {
  const url = (writer: number) => masters[writer % 2 === 0 ? 0 : 1].url();
  syncline(space, ["init", url(0)]);
  const roots: string[] = [];
  const attempts: number[] = [];
  const took: number[] = [];
  const write = async (writer: number) => {
    for (let commit = 0; commit < commits; commit++) {
      const source = join(space.path, `file-${writer}-${commit}`);
      writeFileSync(source, `writer ${writer}, commit ${commit}\n`);
      const { status, stdout, stderr, ms } = await start(space, ["put", source, `${url(writer)}/`, "--json"]);
      if (status !== 0) check(false, `writer ${writer}, commit ${commit} ended with 0, not ${status}: ${stderr}`);
      const last = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { root: string; attempts: number };
      roots.push(last.root);
      attempts.push(last.attempts);
      took.push(ms);
    }
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: agents }, (_, writer) => write(writer)));
  const seconds = (performance.now() - began) / 1000;
  report(
    `      ${roots.length} commits in ${seconds.toFixed(0)} s; attempts p50 ${percentile(attempts, 0.5)}, max ${Math.max(...attempts)}; a put: p50 ${percentile(took, 0.5).toFixed(0)} ms, max ${Math.max(...took).toFixed(0)}`,
  );
  const log = commitsOf(space, url(1));
  const history = new Set(log.map(({ root }) => root));
  const lost = roots.filter((root) => !history.has(root)).length;
  check(lost === 0, `${roots.length} acknowledged commits through two masters, ${lost} of them lost`);
  checkHistory(log);
  for (const [which, one] of masters.entries()) {
    const there = join(space.path, `there-${which}`);
    syncline(space, ["get", "-r", one.url(), there]);
    for (let writer = 0; writer < agents; writer++) {
      for (let commit = 0; commit < commits; commit++) {
        const name = `file-${writer}-${commit}`;
        if (!readFileSync(join(there, name)).equals(readFileSync(join(space.path, name))))
          check(false, `${name} has its bytes`);
      }
    }
    check(true, `${agents * commits} files are there, through master ${which + 1}`);
    check(syncline(space, ["verify", one.url(), "--json"]).status === 0, "verify finds nothing");
  }
}

interface Audited {
  readonly program: string;
  readonly was: string | null;
  readonly root: string;
  readonly version: string;
}

/** Other software swaps in the same table, at times without comparing. */
async function besideOthers() {
  const bucket = "mixed";
  const first = make("first", undefined);
  await store(masters[0], first);
  await swap(masters[0], bucket, first, undefined);
  const others = { comparing: await connected("other comparing"), blind: await connected("other blind") };
  await others.comparing.query(AUDIT);
  const acknowledged = new Set<string>();
  const told = { refused: 0, comparing: 0 };
  const writing = { isOver: false };
  const ours = async (one: MasterHandle, writer: number) => {
    for (let commit = 0; commit < 5 * commits; commit++) {
      const now = await current(one, bucket);
      const next = make(`ours ${writer} ${commit}`, now);
      await store(one, next);
      const status = await swap(one, bucket, next, now);
      if (status === 200) acknowledged.add(next.commit.cid);
      else if (status === 412 || status === 409) told.refused++;
      else check(false, `a swap answers 200, 409 or 412, not ${status}`);
    }
  };
  const theirs = async (client: Client, one: MasterHandle, isComparing: boolean) => {
    for (let turn = 0; !writing.isOver; turn++) {
      const now = await current(one, bucket);
      const next = make(`theirs ${isComparing} ${turn}`, now);
      await store(one, next);
      await pause(OTHERS_MS);
      const values = [owner.wallet, bucket, next.commit.cid];
      if (!isComparing) await client.query(UPSERT, values);
      else if ((await client.query(UPSERT_IF, [...values, now?.commit.cid])).rowCount === 1) told.comparing++;
      await pause(isComparing ? 0 : 5 * OTHERS_MS);
    }
  };
  const swapping = Array.from({ length: agents }, (_, writer) => ours(masters[writer % 2 === 0 ? 0 : 1], writer));
  const beside = [theirs(others.comparing, masters[0], true), theirs(others.blind, masters[1], false)];
  await Promise.all(swapping);
  writing.isOver = true;
  await Promise.all(beside);

  const sql = "SELECT program, was, root, version FROM drill_audit WHERE bucket = $1 ORDER BY version";
  const { rows } = await others.comparing.query<Audited>(sql, [bucket]);
  const parentOf = (root: string) => made.get(root)?.commit.body.parent;
  const by = (program: string) => rows.filter((row) => row.program === program);
  const replaced = (row: Audited) => row.was !== parentOf(row.root);
  const [byOurs, comparing, blind] = [by("syncline"), by("other comparing"), by("other blind")];
  check(
    rows.every(({ version }, at) => Number(version) === Number(rows[0]?.version) + at),
    `${rows.length} changes of the root, each with the next version`,
  );
  check(
    byOurs.length === acknowledged.size && byOurs.every(({ root }) => acknowledged.has(root)),
    `masters changed it ${byOurs.length} times, and acknowledged these and no other; ${told.refused} swaps were refused`,
  );
  check(
    byOurs.every((row) => !replaced(row)),
    "masters replaced nothing but the parent of what they accepted",
  );
  check(
    comparing.length === told.comparing && comparing.every((row) => !replaced(row)),
    `other software that compares changed it ${comparing.length} times, and replaced nothing else`,
  );
  const final = rows.at(-1)?.root ?? "";
  const inHistory = new Set<string>(made.get(final)?.line);
  const lost = [...acknowledged].filter((root) => !inHistory.has(root));
  const overwritten = new Set<string>();
  for (const row of blind.filter(replaced)) {
    const kept = new Set<string>(made.get(row.root)?.line);
    for (const root of made.get(row.was ?? "")?.line ?? []) if (!kept.has(root)) overwritten.add(root);
  }
  check(
    blind.some(replaced),
    `software that does not compare changed it ${blind.length} times, ${blind.filter(replaced).length} of them over a root it had not read`,
  );
  check(
    lost.length > 0 && lost.every((root) => overwritten.has(root)),
    `it overwrote ${lost.length} of ${acknowledged.size} commits that masters acknowledged, and nothing else did`,
  );
  for (const client of Object.values(others)) await client.end();
}

/** Who saw the root that other software overwrote is told, and nothing is written over it. */
async function rolledBack() {
  const bucket = "witnessed";
  const [url, other] = [masters[0].url(bucket), masters[1].url(bucket)];
  syncline(space, ["init", url]);
  syncline(space, ["put", import.meta.filename, `${url}/one`]);
  const [before] = commitsOf(space, url);
  syncline(space, ["put", import.meta.filename, `${url}/two`]);
  for (const address of [url, other]) syncline(space, ["ls", address]);
  const client = await connected("other blind");
  await client.query(UPSERT, [owner.wallet, bucket, before?.root]);
  await client.end();
  for (const [which, address] of [url, other].entries()) {
    for (const args of [
      ["ls", address],
      ["put", import.meta.filename, `${address}/three`],
    ]) {
      const { status, stderr } = syncline(space, [...args, "--json"], {
        expect: Array.from({ length: 64 }, (_, code) => code),
      });
      check(
        status !== 0 && stderr.includes("root_rolled_back"),
        `${args[0]} through master ${which + 1} refuses a root that went back: ${status}`,
      );
    }
  }
}

async function connected(program: string): Promise<Client> {
  const client = new Client({ connectionString: postgres.url, application_name: program });
  await client.connect();
  return client;
}

/** A commit whose file is like no other. */
function make(label: string, parent: Made | undefined): Made {
  const one = chain.make(`${label} ${Buffer.from(systemRandom.bytes(8)).toString("hex")}`, parent);
  made.set(one.commit.cid, one);
  return one;
}

async function current(one: MasterHandle, bucket: string): Promise<Made | undefined> {
  const response = await call(one, "GET", `/v1/buckets/${bucket}/root`);
  const { root } = (await response.json()) as { root?: string };
  return made.get(root ?? "");
}

async function store(one: MasterHandle, { blocks }: Made) {
  const response = await call(one, "POST", "/v1/blocks", car(blocks));
  if (!response.ok) throw new Error(`storing answers ${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
}

/** Its status. */
async function swap(one: MasterHandle, bucket: string, { commit }: Made, expected: Made | undefined): Promise<number> {
  const condition = expected === undefined ? { "if-none-match": "*" } : { "if-match": `"${expected.commit.cid}"` };
  const response = await call(
    one,
    "PUT",
    `/v1/buckets/${bucket}/root`,
    JSON.stringify({ root: commit.cid }),
    condition,
  );
  const text = await response.text();
  if (![200, 409, 412].includes(response.status)) report(`      ${response.status} ${text}`);
  return response.status;
}

function call(one: MasterHandle, method: string, path: string, body?: string | Uint8Array, headers = {}) {
  return fetch(one.origin + path, {
    method,
    ...(body === undefined ? {} : { body }),
    headers: { ...headers, authorization: `Bearer ${bearer}` },
  });
}
