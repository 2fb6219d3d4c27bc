/**
 * A client that means no good, for hostile.ts: one kind of attack, then what it was answered as JSON {answer: times}.
 *   SYNCLINE_DRILL_TOKEN=… node scripts/drills/hostile-client.ts KIND PORT [COUNT]
 */
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import type { Cid } from "../../src/base/ids.ts";
import type { Block } from "../../src/blocks/block-store.ts";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { encodeCarBlockHead, encodeCarHeader } from "../../src/format/blocks/car.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import { car, createChain, node } from "./commits.ts";
import { pause, report } from "./lib.ts";

interface Asking extends Socket {
  answered?: boolean;
}

type Body = string | Buffer | Iterable<Buffer>;

const MiB = 1 << 20;
const PATIENCE_MS = 60_000;
const [kind = "", port, given] = process.argv.slice(2);
const count = Number(given ?? 100);
const answers: Record<string, number> = {};
const attacks: Record<string, () => Promise<unknown>> = {
  slowHeaders: () => many(count, () => trickle("GET /health HTTP/1.1\r\nhost: a\r\n", () => "x-a: b\r\n")),
  slowBodies: () => many(count, () => trickle(head("PUT", `/v0/block?cid=${cid(randomBytes(8))}`, MiB), () => "x")),
  idle: async () => {
    const sockets = await many(count, () => opened(), 200);
    report(`holding ${sockets.filter((socket) => !socket.destroyed).length}`);
    const seconds = count < 1_000 ? 1 : 8;
    await pause(seconds * 1_000);
    tell(`open after ${seconds} s`, sockets.filter((socket) => !socket.destroyed).length);
    for (const socket of sockets) socket.destroy();
  },
  tooLong: async () => {
    const json = Buffer.from(`{"cids":["${"x".repeat(MiB)}"]}`);
    await send("JSON of 1 MiB + 14", head("POST", "/v1/blocks/have", json.length), json);
    await send("JSON without an end", head("POST", "/v1/blocks/have"), chunks(3 * MiB));
    await send("10,001 CIDs to have", ...request("POST", "/v1/blocks/have", { cids: cids(10_001) }));
    await send("1,001 CIDs to get", ...request("POST", "/v1/blocks/get", { cids: cids(1_001) }));
    await send("CAR said to be 65 MiB", head("POST", "/v1/blocks", 65 * MiB), Buffer.alloc(MiB));
    await send("CAR without an end", head("POST", "/v1/blocks"), carChunks(70));
    const big = randomBytes(4 * MiB + 1);
    await send("CAR with a block of 4 MiB + 1", ...carRequest([{ cid: cid(big), bytes: big }]));
    await send("block of 4 MiB + 1", head("PUT", `/v0/block?cid=${cid(big)}`, big.length), big);
    await send("headers of 17 KiB", `GET /health HTTP/1.1\r\nhost: a\r\nx-a: ${"x".repeat(17_000)}\r\n\r\n`);
    await send("a path of 17 KiB", `GET /${"x".repeat(17_000)} HTTP/1.1\r\nhost: a\r\n\r\n`);
    await send("no HTTP", "\x16\x03\x01 hello\r\n\r\n");
    await send("no JSON", ...request("POST", "/v1/blocks/have", undefined, "{"));
    await send(
      "two lengths",
      `POST /v1/blocks HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    );
  },
  truncated: async () => {
    const blocks = [1, 2, 3].map((seed) => Buffer.alloc(2_000, seed)).map((bytes) => ({ cid: cid(bytes), bytes }));
    const whole = car(blocks);
    for (let at = 0; at < count; at++) {
      const cut = whole.subarray(0, Math.floor((whole.length * at) / count));
      await send("CAR cut off", head("POST", "/v1/blocks", cut.length), cut);
    }
    // Their connection ends instead of their bytes.
    await many(count, async () =>
      (await opened(head("POST", "/v1/blocks", whole.length), whole.subarray(0, 3_000))).destroy(),
    );
  },
  wrong: async () => {
    const [one, two] = [randomBytes(100), randomBytes(100)];
    await send(
      "CAR with a wrong hash",
      ...carRequest([
        { cid: cid(one), bytes: two },
        { cid: cid(two), bytes: two },
      ]),
    );
    await send("block with a wrong hash", head("PUT", `/v0/block?cid=${cid(one)}`, two.length), two);
    await send(
      "block by sha-256",
      head("PUT", "/v0/block?cid=bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", 3),
      "abc",
    );
  },
  have: async () => {
    for (let piece = 0; piece < count; piece++)
      await send("10,000 to have", ...request("POST", "/v1/blocks/have", { cids: cids(10_000) }));
  },
  /** Commits signed as they should be, over blocks that are as bad as they may be: chains, and fans of 90,000 with a gap at their end. */
  roots: async () => {
    const gap = node("this one is not stored");
    const end = node("end");
    let chain = end;
    const links = [chain];
    for (let depth = 0; depth < 2_000; depth++) links.push((chain = node("link", chain)));
    await send("stored", ...carRequest(links));
    let fan = gap;
    for (let level = 0; level < 6; level++) {
      fan = node(`fan ${level}`, ...Array.from({ length: 90_000 }, () => end), fan);
      await send("stored", ...carRequest([fan]));
    }
    const roots: [string, Cid][] = [];
    for (const [label, tree] of Object.entries({ chain, fan })) {
      const bucket = await createChain(walletSigner(Buffer.alloc(32, 0x07)));
      const { commit, blocks } = bucket.make(label, undefined, { tree: tree.cid });
      await send("stored", ...carRequest(blocks));
      roots.push([label, commit.cid]);
    }
    for (let times = 0; times < count; times++) {
      for (const [label, root] of roots) {
        await send(
          `root over a ${label}`,
          ...request("PUT", `/v1/buckets/over-a-${label}/root`, { root }, undefined, "if-none-match: *\r\n"),
        );
      }
    }
  },
};
const attack = attacks[kind];
if (attack === undefined) throw new Error(`there is no attack ${kind}`);
await attack();
report(JSON.stringify(answers));
process.exit(0);

function tell(what: string, times = 1) {
  answers[what] = (answers[what] ?? 0) + times;
}

/** A raw request and the status and code that come back; "cut" if nothing did. */
async function send(what: string, first: string, body?: Body) {
  const socket = await opened(first);
  const answer = received(socket);
  const pieces: Iterable<string | Buffer> =
    body === undefined ? [] : typeof body === "string" || Buffer.isBuffer(body) ? [body] : body;
  for (const piece of pieces) {
    if (socket.destroyed || socket.answered) break;
    if (!socket.write(piece)) await Promise.race([new Promise<void>((next) => socket.once("drain", next)), answer]);
  }
  tell(`${what}: ${await answer}`);
  socket.destroy();
}

function opened(...pieces: readonly (string | Buffer)[]): Promise<Asking> {
  return new Promise((done) => {
    const socket: Asking = connect(Number(port), "127.0.0.1", () => {
      for (const piece of pieces) socket.write(piece);
      done(socket);
    });
    socket.on("error", () => done(socket));
  });
}

function received(socket: Asking): Promise<string> {
  return new Promise((done) => {
    let text = "";
    const told = () => {
      socket.answered = true;
      const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1];
      const code = /"code":"(\w+)"/.exec(text)?.[1];
      done(status === undefined ? "cut" : [status, code].filter(Boolean).join(" "));
    };
    socket.on("data", (data: Buffer) => {
      text += data.toString("latin1").slice(0, 4_096);
      // Either way its body follows at once.
      if (text.includes("\r\n\r\n") && /"code":"|"stored":|"missing":|"cid":/.test(text)) told();
    });
    socket.on("close", told);
    setTimeout(() => done("no answer"), PATIENCE_MS).unref();
  });
}

/** Sends a piece a second until the master has enough of it. */
async function trickle(first: string, piece: () => string) {
  const socket = await opened(first);
  const answer = received(socket);
  const timer = setInterval(() => socket.write(piece()), 1_000);
  const began = performance.now();
  tell(`${await answer} after ${Math.round((performance.now() - began) / 5_000) * 5} s`);
  clearInterval(timer);
  socket.destroy();
}

async function many<Result>(times: number, work: () => Promise<Result>, atOnce = times) {
  const results: Result[] = [];
  for (let from = 0; from < times; from += atOnce) {
    results.push(...(await Promise.all(Array.from({ length: Math.min(atOnce, times - from) }, work))));
  }
  return results;
}

function head(method: string, path: string, length?: number, more = "") {
  const framing = length === undefined ? "transfer-encoding: chunked" : `content-length: ${length}`;
  const bearer = `authorization: Bearer ${process.env["SYNCLINE_DRILL_TOKEN"]}`;
  return `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${bearer}\r\n${more}${framing}\r\n\r\n`;
}

function request(
  method: string,
  path: string,
  value: unknown,
  text = JSON.stringify(value),
  more = "",
): [string, string] {
  return [head(method, path, Buffer.byteLength(text), more), text];
}

function carRequest(blocks: readonly Block[]): [string, Buffer] {
  const body = car(blocks);
  return [head("POST", "/v1/blocks", body.length), body];
}

function cid(bytes: Uint8Array) {
  return cidOf("raw", bytes);
}

function cids(length: number) {
  return Array.from({ length }, () => cid(randomBytes(8)));
}

function* chunks(total: number): Iterable<Buffer> {
  yield chunk(Buffer.from('{"cids":["'));
  for (let sent = 0; sent < total; sent += 65_536) yield chunk(Buffer.alloc(65_536, "x"));
}

function* carChunks(megabytes: number): Iterable<Buffer> {
  yield chunk(Buffer.from(encodeCarHeader()));
  for (let sent = 0; sent < megabytes; sent++) {
    const bytes = randomBytes(MiB - 100);
    yield chunk(Buffer.concat([encodeCarBlockHead(cid(bytes), bytes.length), bytes]));
  }
}

function chunk(bytes: Buffer) {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
}
