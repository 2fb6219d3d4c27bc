/**
 * Proxies between writers, two masters, PostgreSQL and S3 lose requests and replies, and deliver late, wherever two programs talk.
 * Writers publish each epoch until they are told that it is in the bucket. Afterwards nothing that was acknowledged is missing, nothing that was
 * told to have failed is there, and every epoch is in history exactly once.
 *   node scripts/drills/lost-answers.ts [RUNS, default 200] [SEED]
 * Of five runs, three go through the masters; the others need no master: one on S3 with a replaced root, one with numbered ones.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";
import type * as commandWriter from "../../src/agent/command-writer.ts";
import type * as clockModule from "../../src/base/clock.ts";
import type * as errorsModule from "../../src/base/errors.ts";
import type * as logModule from "../../src/base/log.ts";
import { nameFromText } from "../../src/base/names.ts";
import type * as randomModule from "../../src/base/random.ts";
import type * as fileSource from "../../src/bucket/writer/file-source.ts";
import type * as walletModule from "../../src/crypto/wallet.ts";
import type * as accessModule from "../../src/net/access.ts";
import { check, checkout, commitsOf, join, pause, pidOf, randomOf, report, start, syncline, workspace } from "./lib.ts";
import { portOf, shared, withPort } from "./shared-masters.ts";

/** By their paths in dist/: what these import has `using`, which Node.js 22 does not know. */
interface Modules {
  readonly "agent/command-writer.js": typeof commandWriter;
  readonly "base/clock.js": typeof clockModule;
  readonly "base/errors.js": typeof errorsModule;
  readonly "base/log.js": typeof logModule;
  readonly "base/random.js": typeof randomModule;
  readonly "bucket/writer/file-source.js": typeof fileSource;
  readonly "crypto/wallet.js": typeof walletModule;
  readonly "net/access.js": typeof accessModule;
}

const [runs, seed] = [Number(process.argv[2] ?? 200), Number(process.argv[3] ?? 1)];
const [WRITERS, COMMITS, AT_ONCE] = [3, 4, 3];
const SHARE = 0.03;
/** Of one epoch, before it counts as never resolved. */
const TRIES = 40;
/** Longer than the proxies hold anything back. */
const REST_MS = 10_000;

const space = workspace("lost-answers");
const servers = await shared(space);
const s3Port = portOf(servers.s3.url());
const behind = await proxies({ postgres: portOf(servers.postgres.url), store: s3Port });
const options = { ports: { arbiter: behind.ports["postgres"] ?? 0, store: behind.ports["store"] ?? 0 } };
const masters = [await servers.master([], options), await servers.master([], options)] as const;
const before = await proxies({ first: portOf(masters[0].origin), second: portOf(masters[1].origin), s3: s3Port });
const load = <File extends keyof Modules>(file: File): Promise<Modules[File]> => import(join(checkout, "dist", file));
const [
  { openCommandWriter },
  { systemClock: clock },
  { SynclineError },
  { silentLog: log },
  { systemRandom: random },
  { sourceOfBytes },
  { walletSigner },
  { masterAccess },
] = await Promise.all([
  load("agent/command-writer.js"),
  load("base/clock.js"),
  load("base/errors.js"),
  load("base/log.js"),
  load("base/random.js"),
  load("bucket/writer/file-source.js"),
  load("crypto/wallet.js"),
  load("net/access.js"),
]);
const wallet = async () => walletSigner(Buffer.from(space.env["SYNCLINE_KEY"] ?? "", "hex"));

interface Run {
  /** Past the proxies. */
  readonly direct: string;
  /** File → the root that it was acknowledged with. */
  readonly acknowledged: Map<string, string>;
}
const told: Record<string, number> = {};
const done: Run[] = [];
for (const each of [before, behind]) await each.set(SHARE);
const began = performance.now();
let next = 0;
await Promise.all(Array.from({ length: AT_ONCE }, runNext));
const counts = { ...(await before.set(0)), ...(await behind.set(0)) };
report(`      ${runs} runs in ${((performance.now() - began) / 1000).toFixed(0)} s`);
await pause(REST_MS);

let [commits, lost, twice, unlike] = [0, 0, 0, 0];
for (const { direct, acknowledged } of done) {
  const history = commitsOf(space, direct);
  const roots = new Set(history.map(({ root }) => root));
  const epochs = history.map(({ writer, epoch }) => `${writer}/${epoch}`);
  commits += acknowledged.size;
  lost += [...acknowledged.values()].filter((root) => !roots.has(root)).length;
  twice += epochs.length - new Set(epochs).size + Math.abs(history.length - 1 - acknowledged.size);
  const there = join(space.path, `there-${done.length}`);
  syncline(space, ["get", "-r", direct, there]);
  for (const file of acknowledged.keys()) unlike += readFileSync(join(there, file), "utf8") === file ? 0 : 1;
  unlike += readdirSync(there).length - acknowledged.size;
  syncline(space, ["verify", direct]);
  rmSync(there, { recursive: true });
}
report(`      exchanges: ${list(counts)}`);
report(`      writers were told: ${list(told)}`);
check(
  commits === runs * WRITERS * COMMITS,
  `${commits} epochs of ${runs} runs are acknowledged, unknown outcomes resolved`,
);
check(lost === 0, `acknowledged but lost: ${lost}`);
check(twice === 0, `false losers, and epochs that count twice: ${twice}`);
check(unlike === 0, `every file has its bytes, there are no conflict copies, and verify finds nothing`);
process.exit(0);

async function runNext(): Promise<void> {
  while (next < runs) {
    const run = next++;
    const { at, direct } = addressesOf(run);
    const roots = run % 5 === 4 ? ["--roots", "numbered"] : [];
    const { status, stderr } = await start(space, ["init", direct, ...roots]);
    if (status !== 0) check(false, `init of run ${run} ended with ${status}: ${stderr}`);
    const acknowledged = new Map<string, string>();
    await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(run, at(writer), writer, acknowledged)));
    done.push({ direct, acknowledged });
    if (done.length % 20 === 0)
      report(`      ${done.length} runs after ${((performance.now() - began) / 1000).toFixed(0)} s`);
  }
}

function addressesOf(run: number) {
  const bucket = `run-${seed}-${run}`;
  if (run % 5 >= 3) {
    const direct = servers.s3.url(bucket);
    return { at: () => withPort(direct, before.ports["s3"] ?? 0), direct };
  }
  const hosts = [before.ports["first"], before.ports["second"]].map((port) => `127.0.0.1:${port}`);
  return {
    at: (writer: number) => `http://${(writer % 2 === 0 ? hosts : hosts.toReversed()).join(",")}/${bucket}`,
    direct: masters[run % 2 === 0 ? 0 : 1].url(bucket),
  };
}

/** One writer's epochs, one after the other. */
async function write(run: number, address: string, writer: number, acknowledged: Map<string, string>): Promise<void> {
  const draw = randomOf(seed * 1_000_003 + run * 101 + writer);
  const stateRoot = join(space.path, `state-${run}-${writer}`);
  for (let commit = 0; commit < COMMITS; commit++) {
    const file = `file-${writer}-${commit}`;
    await pause(draw() * 200);
    acknowledged.set(file, await put(address, stateRoot, file));
  }
}

/** Publishes the file until it is told that it is in the bucket; returns the root. */
async function put(address: string, stateRoot: string, file: string): Promise<string> {
  const access = masterAccess({ wallet, clock });
  const open = () => openCommandWriter({ address, stateRoot, wallet, access, clock, random, log });
  const session = await insisting(open);
  try {
    await insisting(() =>
      session.writer.putFile([nameFromText(file)], sourceOfBytes(Buffer.from(file)), { mode: 0o644, uid: 0, gid: 0 }),
    );
    for (let tries = 0; tries < TRIES; tries++) {
      const outcome = await session.writer.publish();
      count(outcome.kind === "unreachable" ? outcome.cause.code : outcome.kind);
      if (outcome.kind === "published") return outcome.root.commit;
      if (outcome.kind !== "unreachable" && outcome.kind !== "queued") check(false, `${file} is told ${outcome.kind}`);
    }
    throw new Error(`${file} is still not published after ${TRIES} tries`);
  } finally {
    await session[Symbol.asyncDispose]();
  }
}

/** As people do: what failed since a server did not answer is done again. */
async function insisting<Value>(action: () => Promise<Value>): Promise<Value> {
  for (let tries = 0; ; tries++) {
    try {
      return await action();
    } catch (error) {
      const code = error instanceof SynclineError ? error.code : "";
      if (!["arbiter_unreachable", "store_unreachable", "time_out"].includes(code) || tries === TRIES) throw error;
      count(`${code} before publishing`);
    }
  }
}

function count(what: string): void {
  told[what] = (told[what] ?? 0) + 1;
}

function list(counted: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(counted).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([what, times]) => `${times} × ${what}`).join(", ");
}

/** Proxies in a process of their own: this one waits for commands. */
async function proxies(targets: Readonly<Record<string, number>>) {
  const names = Object.entries(targets).map(([name, port]) => `${name}=${port}`);
  const child = spawn(process.execPath, [join(checkout, "scripts/drills/faulty-proxies.ts"), String(seed), ...names], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  space.pids.add(pidOf(child));
  child.unref();
  const lines = createInterface(child.stdout);
  const [first] = (await once(lines, "line")) as [string];
  return {
    ...(JSON.parse(first) as { ports: Record<string, number> }),
    /** From now on; returns what was counted so far. */
    async set(share: number): Promise<Record<string, number>> {
      child.stdin.write(`${JSON.stringify({ share })}\n`);
      const [line] = (await once(lines, "line")) as [string];
      return (JSON.parse(line) as { counts: Record<string, number> }).counts;
    },
  };
}
