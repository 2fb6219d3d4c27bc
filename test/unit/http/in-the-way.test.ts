/** Who stands still in the middle of a call, as a sender or as a reader, is cut while others wait for what he holds, and only then. */
import { EventEmitter } from "node:events";
import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Cid } from "../../../src/base/ids.ts";
import { MAX_BLOCK_ACCEPTED } from "../../../src/base/limits.ts";
import { FREE_BODY_BYTES, OWNER_ANSWERS_BYTES, OWNER_BODIES_BYTES } from "../../../src/master/limits.ts";
import { signToken } from "../../../src/crypto/token.ts";
import type { Block } from "../../../src/blocks/block-store.ts";
import { encodeCarBlockHead, encodeCarHeader } from "../../../src/format/blocks/car.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { SLOW_CLIENT_PATIENCE_MS, LOOK_MS, READER_PATIENCE_MS } from "../../../src/http/slow-clients.ts";
import { writeAnswer } from "../../../src/master/http/reply.ts";
import { carOf } from "../../support/car.ts";
import { CommitChain } from "../../support/commit-chain.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RawClient } from "../../support/raw-http.ts";
import { bob, startTestMaster, type TestMaster } from "../../support/test-master.ts";

const POLL = { timeout: 60_000, interval: 50 };
/** As often as slow clients are looked for, and a little more. */
const SOON_MS = 1_000;

let clock: ManualClock;
let master: TestMaster;
let head: (request: string) => Promise<string>;
const clients: RawClient[] = [];

beforeEach(async () => {
  clock = new ManualClock();
  master = await startTestMaster({ clock });
  const bearer = await signToken(bob, Number(clock.nowNs() / 1_000_000_000n));
  head = async (request) => `${request} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bearer}\r\n`;
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await master.stop();
});

test("stalled uploads are told to retry when another upload waits for their memory", { timeout: 120_000 }, async () => {
  const stalled = [];
  for (let at = 0; at < OWNER_BODIES_BYTES / MAX_BLOCK_ACCEPTED; at++) stalled.push((await stalledUpload()).client);
  await gauge("syncline_bodies_bytes", OWNER_BODIES_BYTES);
  const other = upload(big("other"));
  await gauge("syncline_bodies_waiting", 1);
  await looked(SLOW_CLIENT_PATIENCE_MS, stalled.length);
  await clock.advance(SLOW_CLIENT_PATIENCE_MS - 1);
  await gauge("syncline_bodies_waiting", 1);
  await clock.advance(SOON_MS);
  expect(await other).toMatchObject({ stored: 1 });
  const cut = await Promise.race(stalled.map((client) => client.answer()));
  expect(cut).toMatchObject({ status: 503, headers: { "retry-after": "1" } });
  expect(JSON.parse(cut.body)).toMatchObject({ code: "in_the_way", stored: 1, known: 0 });
});

test("a stalled upload can resume while nobody waits for its memory", async () => {
  const { client, rest } = await stalledUpload();
  await gauge("syncline_bodies_bytes", MAX_BLOCK_ACCEPTED);
  await clock.advance(4 * SLOW_CLIENT_PATIENCE_MS);
  client.send(rest);
  expect(await client.answer()).toMatchObject({ status: 200 });
});

test("stalled readers do not hold up others", { timeout: 120_000 }, async () => {
  const blocks = Array.from({ length: 24 }, (_, at) => sized(1024 * 1024, `block ${at}`));
  for (const block of blocks) await upload(block);
  const asked = JSON.stringify({ cids: blocks.map(({ cid }) => cid) });
  const request = `${await head("POST /v1/blocks/get")}Content-Length: ${asked.length}\r\n\r\n${asked}`;
  for (let at = 0; at < 8; at++) {
    const client = await open();
    client.socket.pause();
    client.send(request);
  }
  await gauge("syncline_answers_bytes", OWNER_ANSWERS_BYTES);
  const other = fetched(blocks[0]?.cid);
  await gauge("syncline_answers_waiting", 3);
  await looked(LOOK_MS, 1);
  await clock.advance(READER_PATIENCE_MS + SOON_MS);
  expect(await other).toBe(200);
});

test("an answer queued behind an endless watch does not hold up others", { timeout: 60_000 }, async () => {
  const chain = await CommitChain.create();
  const { commit, blocks } = chain.make("a file", undefined);
  await upload(...blocks, commit, chain.genesis);
  const swap = { method: "PUT", body: JSON.stringify({ root: commit.cid }), headers: { "if-none-match": "*" } };
  expect((await master.call("/v1/buckets/b/root", swap, bob)).status).toBe(200);
  const block = big("one");
  await upload(block);
  const client = await open();
  client.send(`${await head("GET /v1/buckets/b/watch")}\r\n${await head(`GET /ipfs/${block.cid}?format=raw`)}\r\n`);
  await gauge("syncline_answers_bytes", block.bytes.length);
  const other = fetched(block.cid);
  await gauge("syncline_answers_waiting", 1);
  await looked(SLOW_CLIENT_PATIENCE_MS, 1);
  await clock.advance(SLOW_CLIENT_PATIENCE_MS + SOON_MS);
  expect(await other).toBe(200);
});

test("a slow reader is left alone as long as it takes some bytes now and then", async () => {
  const socket = { _handle: { writeQueueSize: 0 } };
  const response = Object.assign(new EventEmitter(), {
    socket,
    writeHead: () => response,
    flushHeaders: () => {},
    write: (piece: Uint8Array) => void (socket._handle.writeQueueSize += piece.length),
  });
  const body = (async function* () {
    yield new Uint8Array(200_000);
  })();
  const answer = { status: 200, body, isInTheWay: () => true };
  let cut = false;
  const options = { head: false, last: false, clock };
  const sent = writeAnswer(response as unknown as ServerResponse, answer, options).catch(() => (cut = true));
  for (let taken = 0; taken < 5; taken++) {
    await clock.advance(5_000);
    socket._handle.writeQueueSize -= 10_000;
  }
  expect(cut).toBe(false);
  await clock.advance(READER_PATIENCE_MS + SOON_MS);
  await sent;
  expect(cut).toBe(true);
});

async function open(): Promise<RawClient> {
  const client = await RawClient.open(master.origin);
  clients.push(client);
  return client;
}

/** One that holds as much memory as it may, and what it has not sent. */
async function stalledUpload() {
  const client = await open();
  const { cid, bytes } = big("stalled");
  const small = sized(10, "small");
  const body = Buffer.concat([
    encodeCarHeader(),
    encodeCarBlockHead(small.cid, small.bytes.length),
    small.bytes,
    encodeCarBlockHead(cid, bytes.length),
    bytes,
  ]);
  client.send(`${await head("POST /v1/blocks")}Content-Length: ${body.length}\r\n\r\n`);
  client.send(body.subarray(0, 2 * FREE_BODY_BYTES));
  return { client, rest: body.subarray(2 * FREE_BODY_BYTES) };
}

async function upload(...blocks: Block[]): Promise<unknown> {
  return (await master.call("/v1/blocks", { method: "POST", body: carOf(...blocks) }, bob)).json();
}

async function fetched(cid: Cid | undefined): Promise<number> {
  const answer = await master.call(`/ipfs/${cid}?format=raw`, {}, bob);
  await answer.arrayBuffer();
  return answer.status;
}

async function gauge(name: string, value: number): Promise<void> {
  await expect.poll(() => master.metrics(), POLL).toMatch(new RegExp(`^${name} ${value}$`, "m"));
}

/** Waits until that many timers are due in `inMs`. The gauges count memory before the timers are set. */
async function looked(inMs: number, atLeast: number): Promise<void> {
  await expect.poll(() => clock.dueIn(inMs), POLL).toBeGreaterThanOrEqual(atLeast);
}

function big(label: string): Block {
  return sized(MAX_BLOCK_ACCEPTED - 100, label);
}

function sized(size: number, label: string): Block {
  const bytes = Buffer.alloc(size, label);
  return { cid: cidOf("raw", bytes), bytes };
}
