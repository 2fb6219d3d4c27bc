/**
 * Strangers at a master: valid tokens of wallets that are not served, tokens that name a served wallet and are signed by another,
 * malformed ones, and floods of pipelined calls that need none. An allowed client is served beside each.
 *   node scripts/drills/strangers.ts [SECONDS an attack] [CONNECTIONS] [--untimed]      --untimed: on a machine that others keep busy, without the goal
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { signToken } from "../../src/crypto/token.ts";
import { walletSigner, type WalletSigner } from "../../src/crypto/wallet.ts";
import { check, master, percentile, pidOf, report, type Space, syncline, workspace } from "./lib.ts";

type Kind = (typeof KINDS)[number];
/** How often each was answered. */
type Answers = Record<string, number>;

interface Setup {
  readonly kind: Kind;
  readonly port: number;
  readonly connections: number;
  readonly owner: WalletSigner["wallet"];
  readonly seconds: number;
}

const KINDS = ["nobody", "strangers", "forged", "malformed", "health", "capabilities"] as const;
/** The goal on a machine that has a processor for the master. */
const P99_MS = process.argv.includes("--untimed") ? Infinity : 100;
const TOKENS_A_CONNECTION = 40;
const PIPELINED = 500;

if (process.send !== undefined) await attack();
else await drill();

async function drill() {
  const [seconds = 10, connections = 32] = process.argv
    .slice(2)
    .filter((arg) => !arg.startsWith("--"))
    .map(Number);
  const space = workspace("strangers");
  const arbiter = await master(space);
  syncline(space, ["init", arbiter.url()]);
  const owner = walletSigner(Buffer.alloc(32, 0x42));
  const bearer = await signToken(owner, now(), 3_600);
  const port = Number(new URL(arbiter.origin).port);
  const claims: [boolean, string][] = [];
  for (const kind of KINDS) {
    const attackers =
      kind === "nobody"
        ? undefined
        : await attackersWith(space, { kind, port, connections, owner: owner.wallet, seconds });
    const ended = attackers?.go() ?? new Promise<void>((done) => setTimeout(done, seconds * 1_000));
    const { times, failures } = await serveMeanwhile(arbiter.origin, bearer, owner, ended);
    const answers = await ended;
    const [p50, p99, most] = [percentile(times, 0.5), percentile(times, 0.99), Math.max(...times)].map((ms) =>
      ms.toFixed(1),
    );
    report(
      `${kind}: the allowed client p50 ${p50} ms, p99 ${p99} ms, at most ${most} ms (${times.length} calls, ${failures.length} failed); ${arbiter.rssMiB().toFixed(0)} MiB`,
    );
    if (answers !== undefined) report(`      ${JSON.stringify(answers)}`);
    // Calls that need no bearer may all wait behind those of the attack before.
    if (kind === "strangers" || kind === "forged" || kind === "malformed")
      claims.push([Object.keys(answers ?? {}).length > 0, `${kind}: the attack is answered`]);
    claims.push([
      failures.length === 0,
      `${kind}: the allowed client is served${failures[0] === undefined ? "" : `: ${failures[0]}`}`,
    ]);
    claims.push([Number(p99) <= P99_MS, `${kind}: 99 of 100 calls are answered within ${P99_MS} ms`]);
  }
  for (const [holds, claim] of claims) check(holds, claim);
  check((await arbiter.stop()) === 0, "the master ends well");
}

function now() {
  return Math.floor(Date.now() / 1_000);
}

/** Another process, which makes what it sends before it begins. */
async function attackersWith(space: Space, setup: Setup) {
  const child = fork(import.meta.filename, { serialization: "advanced" });
  space.pids.add(pidOf(child));
  const ended = once(child, "exit").then(([status]) => Promise.reject(new Error(`the attackers ended with ${status}`)));
  ended.catch(() => {});
  const told = async () => (await Promise.race([once(child, "message"), ended]))[0] as Answers;
  child.send(setup);
  await told();
  return {
    async go() {
      child.send("go");
      return told();
    },
  };
}

async function serveMeanwhile(origin: string, bearer: string, owner: WalletSigner, ended: Promise<unknown>) {
  const attack = { over: false };
  void ended.then(() => (attack.over = true));
  const [times, failures]: [number[], string[]] = [[], []];
  for (let turn = 0; !attack.over; turn++) {
    // Now and then with a token that the master has not seen.
    const token = turn % 50 === 49 ? await signToken(owner, now() - (turn % 200), 3_600) : bearer;
    const began = performance.now();
    try {
      const response = await fetch(`${origin}/v1/buckets/demo/root`, {
        headers: { authorization: `Bearer ${token}` },
        signal: AbortSignal.timeout(10_000),
      });
      await response.arrayBuffer();
      if (response.status !== 200) failures.push(`status ${response.status}`);
    } catch (error) {
      failures.push(String((error instanceof Error && error.cause) || error));
    }
    times.push(performance.now() - began);
    await new Promise((next) => setTimeout(next, 5));
  }
  return { times, failures };
}

async function attack() {
  const setup = (await new Promise<unknown>((done) => process.once("message", done))) as Setup;
  const { kind, port, connections, seconds } = setup;
  const texts = await Promise.all(Array.from({ length: connections }, (_, index) => requests(setup, index)));
  process.send?.("ready");
  await new Promise((done) => process.once("message", done));
  const answers: Answers = {};
  const untilMs = performance.now() + seconds * 1_000;
  const pipelines = kind === "health" || kind === "capabilities";
  await Promise.all(texts.map((list) => flood(port, list, pipelines, untilMs, answers)));
  process.send?.(answers);
  process.disconnect();
}

async function requests({ kind, owner }: Setup, connection: number) {
  if (kind === "health") return [request("/health")];
  if (kind === "capabilities") return [request("/fula/capabilities")];
  const list: string[] = [];
  for (let index = 0; index < TOKENS_A_CONNECTION; index++) {
    const key = Buffer.alloc(32, 1);
    key.writeUInt32BE(connection * TOKENS_A_CONNECTION + index + 1, 28);
    list.push(request("/v1/buckets/demo/root", await token(kind, walletSigner(key), owner, index)));
  }
  return list;
}

async function token(kind: Kind, signer: WalletSigner, owner: Setup["owner"], index: number) {
  if (kind === "malformed") return `fula-eip712.${Buffer.from(`{"wallet":${index}`).toString("base64url")}.AAAA`;
  const text = await signToken(signer, now() - index, 3_600);
  if (kind === "strangers") return text;
  const [scheme, payload = "", signature] = text.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
  const forged = Buffer.from(JSON.stringify({ ...claims, wallet: owner })).toString("base64url");
  return `${scheme}.${forged}.${signature}`;
}

function request(path: string, bearer?: string) {
  const authorization = bearer === undefined ? "" : `authorization: Bearer ${bearer}\r\n`;
  return `GET ${path} HTTP/1.1\r\nhost: a\r\n${authorization}\r\n`;
}

/** One request after the other, or hundreds at once without waiting for answers; again on a new connection when one is cut. */
async function flood(port: number, list: readonly string[], pipelines: boolean, untilMs: number, answers: Answers) {
  while (performance.now() < untilMs) await floodOnce(port, list, pipelines, untilMs, answers);
}

function floodOnce(port: number, list: readonly string[], pipelines: boolean, untilMs: number, answers: Answers) {
  return new Promise<void>((done) => {
    const socket = connect(port, "127.0.0.1");
    let at = Math.floor(Math.random() * list.length);
    const send = () => {
      const one = list[at++ % list.length] ?? "";
      socket.write(pipelines ? one.repeat(PIPELINED) : one);
    };
    let answered = 0;
    socket.on("connect", send);
    socket.on("data", (data) => {
      const heads = data.toString("latin1").match(/HTTP\/1\.1 \d+/g) ?? [];
      for (const head of heads) count(head.slice(9));
      answered += heads.length;
      if (pipelines ? answered >= PIPELINED / 2 : heads.length > 0) {
        answered = 0;
        send();
      }
    });
    const timer = setTimeout(() => socket.destroy(), Math.max(0, untilMs - performance.now()));
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      if (performance.now() < untilMs) count("cut");
      done();
    });
  });

  function count(answer: string) {
    answers[answer] = (answers[answer] ?? 0) + 1;
  }
}
