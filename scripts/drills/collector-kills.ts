/**
 * Two masters on one PostgreSQL and one S3 server. One of them collects and is killed -9 at its first request to either of them, then
 * at its second, and so on until a collection comes to its end; by turns before the request leaves and after its reply is there. Then uploads are
 * stopped (SIGSTOP) for three leases, while the masters collect, and go on. Nothing that was published is missing, and space comes back.
 *   node scripts/drills/collector-kills.ts [EVERY, default 1: each request; 5: each fifth, and fewer uploads]
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { signToken } from "../../src/crypto/token.ts";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { block, car } from "./commits.ts";
import {
  check,
  differences,
  type Ended,
  fingerprint,
  join,
  kill,
  type MasterHandle,
  pathIn,
  pause,
  report,
  start,
  workspace,
} from "./lib.ts";
import { portOf, shared, withPort } from "./shared-masters.ts";

const every = Number(process.argv[2] ?? 1);
const LEASE_MS = 1_000;
const [FILES, CHANGED, FILE_BYTES] = [40, 8, 30_000];
const [LONG_BYTES, GARBAGE_BYTES] = [30 << 20, 300_000];
/** After how many bytes an upload is stopped. */
const moments = {
  ...(every === 1 && { "a third": LONG_BYTES / 3, all: LONG_BYTES }),
  most: 0.8 * LONG_BYTES,
  "the swap": Infinity,
};

const space = workspace("collector-kills");
const { postgres, s3, master } = await shared(space);
/** What a proxy tells of: bytes on their way to a server, before and after these are sent on. */
const watched = { request: (_: Buffer) => {}, reply: () => {} };
const ports = { arbiter: await proxy(portOf(postgres.url)), store: await proxy(portOf(s3.url())) };
/** More owners than a collection makes requests. */
const OWNERS = 400;
const allowed = Array.from({ length: OWNERS }, (_, round) => ["--allow", walletSigner(seedOf(round + 1)).wallet]);
const options = ["--lease", `${LEASE_MS / 1_000}s`, ...allowed.flat()];
const collecting = await master(options, { ports });
const other = await master(options);
const files = join(space.path, "files");
mkdirSync(files);

const killed = { before: 0, after: 0 };
let requests = 0;
/** Each round has an owner of its own, so that all collections have the same to do. */
let owner = { key: "", bearer: "", url: "" };
await withGarbage(1);
for (let step = 1; ; step += every) {
  const moment = (killed.before + killed.after) % 2 === 0 ? "before" : "after";
  const ending = killedAt(step, moment);
  if (!(await collected(collecting))) break;
  await ending;
  killed[moment]++;
  await collecting.start();
  await whole(`request ${step}`);
  // The other one goes on where this one was.
  await pause(1.2 * LEASE_MS);
  await collected(other);
  await whole(`the collection after request ${step}`);
  const rounds = killed.before + killed.after;
  if (rounds % 10 === 0) report(`      killed ${rounds} times, last at request ${step}`);
  await withGarbage(rounds + 1);
}
disarm();
report(
  `      a collection makes ${requests} requests; killed before ${killed.before} and after ${killed.after} of them`,
);
check(killed.before + killed.after >= Math.floor(requests / every) - 1, "the collector was killed at each of them");
await stoppedUploads();
await pause(3.2 * LEASE_MS);
for (let turn = 0; turn < 3; turn++) {
  await collected(other);
  await pause(1.2 * LEASE_MS);
}
await whole("the last collection");
const { bytes } = JSON.parse((await command("gc", owner.url, "--json")).stdout) as { bytes: { after: number } };
const live = (FILES + 2 * CHANGED) * FILE_BYTES + Object.keys(moments).length * LONG_BYTES;
check(bytes.after < 1.1 * live, `space comes back: ${live} bytes of files, ${bytes.after} bytes stored`);
process.exit(0);

/** A bucket with a few commits, abandoned uploads, and packs that a collection has condemned. */
async function withGarbage(round: number): Promise<void> {
  const seed = seedOf(round);
  owner = { key: seed.toString("hex"), bearer: await bearerOf(seed), url: other.url(`bucket-${round}`) };
  await command("init", owner.url);
  for (let commit = 0; commit < 3; commit++) {
    for (let at = 0; at < (commit === 0 ? FILES : CHANGED); at++) {
      writeFileSync(join(files, `f${(commit * CHANGED + at) % FILES}`), randomBytes(FILE_BYTES));
    }
    await command("put", "-r", `${files}/.`, pathIn(owner.url, "files"));
    await store(randomBytes(GARBAGE_BYTES));
  }
  await pause(1.2 * LEASE_MS);
  await collected(other);
  await store(randomBytes(GARBAGE_BYTES));
  await pause(1.2 * LEASE_MS);
}

function seedOf(round: number): Buffer {
  const seed = Buffer.alloc(32);
  seed.writeUInt32BE(round, 0);
  return seed;
}

async function bearerOf(seed: Uint8Array): Promise<string> {
  return signToken(walletSigner(seed), Math.floor(Date.now() / 1_000), 86_400);
}

/** As the owner. It must succeed. */
async function command(...args: readonly string[]): Promise<Ended> {
  const ended = await start(space, args, { SYNCLINE_KEY: owner.key });
  if (ended.status !== 0) check(false, `${args[0]} ended with ${ended.status}: ${ended.stdout}${ended.stderr}`);
  return ended;
}

/** An upload that no root will reach. */
async function store(bytes: Uint8Array): Promise<void> {
  const body = car([block("raw", bytes)]);
  const headers = { authorization: `Bearer ${owner.bearer}`, "content-type": "application/vnd.ipld.car; version=1" };
  const { ok } = await fetch(`${other.origin}/v1/blocks`, { method: "POST", headers, body });
  if (!ok) check(false, "an upload is taken");
}

/** Every file has its bytes, and `verify` finds nothing. */
async function whole(when: string): Promise<void> {
  const there = join(space.path, "there");
  await command("get", "-r", pathIn(owner.url, "files"), there);
  const unlike = differences(contents(files), contents(there)).length;
  if (unlike > 0) check(false, `${unlike} files differ after ${when}`);
  await command("verify", owner.url);
  rmSync(there, { recursive: true });
}

function contents(folder: string) {
  return new Map([...fingerprint(folder)].map(([path, text]) => [path, text.split(" ").slice(-2).join(" ")]));
}

/** Starts a collection at a master and waits for its end; false if it ended before the master did. */
async function collected(one: MasterHandle): Promise<boolean> {
  const headers = { authorization: `Bearer ${owner.bearer}` };
  const at = `${one.origin}/v1/collection`;
  const ended = one.ended.then(() => true);
  const run = async () => {
    const begun = await fetch(at, { method: "POST", body: "{}", headers });
    const { number } = (await begun.json()) as { number: number };
    for (;;) {
      const { collected: last } = (await (await fetch(at, { headers })).json()) as {
        collected: { number: number; error?: { code: string } } | null;
      };
      if (last !== null && last.number >= number) {
        if (last.error !== undefined && last.error.code !== "bucket_locked") check(false, JSON.stringify(last.error));
        return false;
      }
      await pause(20);
    }
  };
  return Promise.race([ended, run().catch(() => ended)]);
}

/** Kills the collecting master at its request of this number, counted from now. Resolves once it has ended. */
async function killedAt(step: number, moment: "before" | "after"): Promise<void> {
  requests = 0;
  watched.request = () => {
    if (++requests === step && moment === "before") kill(collecting.pid);
  };
  watched.reply = () => {
    if (requests >= step && moment === "after") kill(collecting.pid);
  };
  await collecting.ended;
  disarm();
}

function disarm(): void {
  watched.request = () => {};
  watched.reply = () => {};
}

/** The first third of an upload, most of it, its end, and its swap: each is stopped there for three leases. */
async function stoppedUploads(): Promise<void> {
  const port = await proxy(portOf(other.origin));
  const through = withPort(owner.url, port);
  for (const [what, most] of Object.entries(moments)) {
    const source = join(space.path, "long");
    writeFileSync(source, randomBytes(LONG_BYTES));
    let [sent, pid] = [0, 0];
    const reached = new Promise<void>((done) => {
      watched.request = (data) => {
        sent += data.length;
        if (pid === 0 || (sent < most && !isSwap(data))) return;
        kill(pid, "SIGSTOP");
        watched.request = () => {};
        done();
      };
    });
    const key = { SYNCLINE_KEY: owner.key };
    const args = ["put", source, pathIn(through, `long-${what}`)];
    const running = start(space, args, key, (started) => (pid = started));
    await Promise.race([reached, running]);
    for (let turn = 0; turn < 4; turn++) {
      await collected(turn % 2 === 0 ? collecting : other);
      await pause(0.9 * LEASE_MS);
    }
    kill(pid, "SIGCONT");
    const { status, stderr } = await running;
    const there = join(space.path, "there-long");
    if (status === 0) await command("get", pathIn(owner.url, `long-${what}`), there);
    const isThere = status === 0 && readFileSync(there).equals(readFileSync(source));
    check(
      isThere,
      `an upload that was stopped for three leases after ${what} of it goes on and arrives${stderr && `: ${stderr}`}`,
    );
  }
  await whole("the stopped uploads");
}

function isSwap(data: Buffer): boolean {
  return /^PUT \/v1\/\S+\/root HTTP/.test(data.toString("latin1", 0, 200));
}

/** To a server on loopback; returns its port. */
async function proxy(target: number): Promise<number> {
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port: target, host: "127.0.0.1", noDelay: true });
    client.on("data", (data) => {
      watched.request(data);
      upstream.write(data);
    });
    upstream.on("data", (data) => {
      watched.reply();
      client.write(data);
    });
    for (const [one, another] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on("error", () => {});
      one.on("close", () => another.destroy());
    }
  });
  await new Promise<void>((done) => void server.listen(0, "127.0.0.1", done));
  return (server.address() as AddressInfo).port;
}
