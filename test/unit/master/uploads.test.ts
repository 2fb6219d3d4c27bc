/** What becomes of uploads that are wrong, too long, cut off or too many, and of those of others meanwhile. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Cid } from "../../../src/base/ids.ts";
import { MAX_BLOCK_ACCEPTED } from "../../../src/base/limits.ts";
import { BLOCK_OVERHEAD_BYTES, FREE_BODY_BYTES, OWNER_BODIES_BYTES } from "../../../src/master/limits.ts";
import { signToken } from "../../../src/crypto/token.ts";
import type { Block } from "../../../src/blocks/block-store.ts";
import { encodeCarBlockHead, encodeCarHeader } from "../../../src/format/blocks/car.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import type { MasterOptions } from "../../../src/master/master.ts";
import { carOf } from "../../support/car.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { raw } from "../../support/opaque-commits.ts";
import { RawClient } from "../../support/raw-http.ts";
import { cborBlock } from "../../support/signed-history.ts";
import { alice, bob, startTestMaster, type TestMaster } from "../../support/test-master.ts";

const masters: TestMaster[] = [];
afterEach(async () => {
  await Promise.all(masters.splice(0).map((master) => master.stop()));
});

async function start(options: Partial<MasterOptions> = {}): Promise<TestMaster> {
  const master = await startTestMaster(options);
  masters.push(master);
  return master;
}

async function upload(master: TestMaster, body: Uint8Array, as = alice) {
  const answer = await master.call("/v1/blocks", { method: "POST", body }, as);
  return { ...((await answer.json()) as { code?: string }), status: answer.status };
}

async function missing(master: TestMaster, blocks: readonly Block[], as = alice): Promise<Cid[]> {
  const body = JSON.stringify({ cids: blocks.map(({ cid }) => cid) });
  const answer = await master.call("/v1/blocks/have", { method: "POST", body }, as);
  return ((await answer.json()) as { missing: Cid[] }).missing;
}

describe("a CAR", () => {
  const one = raw("one");
  const two = raw("two");

  test("with an oversized block has only that block rejected", async () => {
    const master = await start();
    const long = { cid: raw("long").cid, bytes: new Uint8Array(MAX_BLOCK_ACCEPTED + 1) };
    expect(await upload(master, carOf(one, long, two))).toEqual({
      status: 200,
      stored: 2,
      known: 0,
      rejected: [{ cid: long.cid, code: "limit_exceeded" }],
    });
  });

  test("with a block of 4 MiB is accepted", async () => {
    const master = await start();
    const bytes = Buffer.alloc(MAX_BLOCK_ACCEPTED, "x");
    const block = { cid: cidOf("raw", bytes), bytes };
    expect(await upload(master, carOf(block))).toMatchObject({ stored: 1 });
    const back = await master.call(`/ipfs/${block.cid}?format=raw`);
    expect(Buffer.from(await back.arrayBuffer()).equals(bytes)).toBe(true);
  });

  test("that is truncated is refused, and its whole blocks are stored", async () => {
    const master = await start();
    const car = carOf(one, two);
    expect(await upload(master, car.subarray(0, car.length - 1))).toMatchObject({
      status: 400,
      code: "malformed_car",
      stored: 1,
      known: 0,
      rejected: [],
    });
    expect(await missing(master, [one, two])).toEqual([two.cid]);
  });

  test("whose sender goes away keeps its whole blocks, which need not be sent again", async () => {
    const master = await start();
    const car = carOf(one, two);
    const client = await RawClient.open(master.origin);
    const bearer = await signToken(alice, Math.floor(Date.now() / 1000));
    const head = `POST /v1/blocks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bearer}\r\nContent-Length: ${car.length}\r\n\r\n`;
    client.send(head).send(car.subarray(0, car.length - 1));
    client.close();
    await expect.poll(() => missing(master, [one, two])).toEqual([two.cid]);
  });

  test("that is malformed is refused", async () => {
    const master = await start();
    expect(await upload(master, Buffer.from("certainly no CAR"))).toMatchObject({ status: 400, code: "malformed_car" });
    expect(await upload(master, new Uint8Array())).toMatchObject({ status: 400, code: "malformed_car" });
  });

  test("without any blocks is accepted", async () => {
    const master = await start();
    expect(await upload(master, carOf())).toEqual({ status: 200, stored: 0, known: 0, rejected: [] });
  });

  test("with nothing but bad blocks is refused", async () => {
    const master = await start();
    const bad = Array.from({ length: 1_100 }, (_, at) => ({ cid: one.cid, bytes: Buffer.from(`bad ${at}`) }));
    const answer = await upload(master, carOf(...bad));
    expect(answer).toMatchObject({ status: 400, code: "malformed_car", stored: 0 });
  });
});

test("many concurrent uploads keep their blocks apart", async () => {
  const master = await start();
  const uploads = Array.from({ length: 6 }, (_, upload) =>
    Array.from({ length: 30 }, (_, at) => {
      const bytes = Buffer.alloc(at === 7 ? MAX_BLOCK_ACCEPTED : 200_000 + at, `${upload}/${at} `);
      return { cid: cidOf("raw", bytes), bytes };
    }),
  );
  const bad = { cid: raw("x").cid, bytes: Buffer.alloc(100_000) };
  await Promise.all(uploads.map((blocks) => upload(master, carOf(...blocks.flatMap((block) => [bad, block])))));
  for (const { cid, bytes } of uploads.flat()) {
    const back = Buffer.from(await (await master.call(`/ipfs/${cid}?format=raw`)).arrayBuffer());
    expect(back.equals(bytes)).toBe(true);
  }
});

describe("a quota", () => {
  test("is enforced to the byte, even across concurrent calls", async () => {
    const quotaBytes = 10 * (100 + BLOCK_OVERHEAD_BYTES);
    const master = await start({ quotaBytes });
    const blocks = Array.from({ length: 30 }, (_, at) => raw(`${at}`.padEnd(100)));
    const answers = await Promise.all(blocks.map((block) => upload(master, carOf(block))));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(10);
    expect(answers.filter(({ code }) => code === "over_quota")).toHaveLength(20);
    const state = await (await master.call("/api/v1/storage")).json();
    expect(state).toEqual({ canUpload: false, usedBytes: quotaBytes, quotaBytes });
    const put = await master.call(`/v0/block?cid=${blocks[0]?.cid}`, { method: "PUT", body: "x" });
    expect(put.status).toBe(402);
  });

  test("counts tiny blocks as what they take on the disk", async () => {
    const master = await start({ quotaBytes: 5_000 });
    const tiny = Array.from({ length: 100 }, (_, at) => raw(`${at}`));
    expect(await upload(master, carOf(...tiny))).toMatchObject({ status: 402, code: "over_quota" });
    expect(await upload(master, carOf(...tiny.slice(0, 30)))).toMatchObject({ status: 200 });
  });

  test("admits a block that is stored already, as if its answer had been lost", async () => {
    const master = await start({ quotaBytes: 20_000 });
    const block = raw("x".repeat(12_000));
    const put = () => master.call(`/v0/block?cid=${block.cid}`, { method: "PUT", body: Buffer.from(block.bytes) });
    expect((await put()).status).toBe(200);
    expect((await put()).status).toBe(200);
    expect(await upload(master, carOf(block))).toMatchObject({ status: 200, known: 1 });
    expect(await upload(master, carOf(block, raw("y".repeat(12_000))))).toMatchObject({ status: 402 });
  });

  test("leaves a reserve to nodes, which contents cannot use and which ends as well", async () => {
    const master = await start({ quotaBytes: 1000 });
    expect(await upload(master, carOf(raw("x".repeat(1000 - 128))))).toMatchObject({ status: 200 });
    const nodes = Array.from({ length: 5 }, (_, at) => cborBlock(`${at}`.padEnd(1_000_000)));
    const [first] = nodes;
    const mixed = carOf(first as Block, raw("more"));
    expect(await upload(master, mixed)).toMatchObject({ status: 402, code: "over_quota", stored: 1 });
    const answers = [];
    for (const node of nodes.slice(1)) answers.push(await upload(master, carOf(node)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 402]);
    const state = await (await master.call("/api/v1/storage")).json();
    expect(state).toMatchObject({ canUpload: false, quotaBytes: 1000 });
  });

  test("applies to each owner separately", async () => {
    const master = await start({ quotaBytes: 10 + BLOCK_OVERHEAD_BYTES });
    expect(await upload(master, carOf(raw("ten bytes!")))).toMatchObject({ status: 200 });
    expect(await upload(master, carOf(raw("more")))).toMatchObject({ status: 402, code: "over_quota" });
    expect(await upload(master, carOf(raw("bob's ten")), bob)).toMatchObject({ status: 200 });
  });
});

describe("a storage API", () => {
  let answer: { status: number; body: string };
  const asked: string[] = [];
  const api = createServer((request, response) => {
    asked.push(`${request.url} ${request.headers.authorization}`);
    response.writeHead(answer.status, { location: "/elsewhere" }).end(answer.body);
  });
  let url: string;
  beforeAll(async () => {
    api.listen(0, "127.0.0.1");
    await once(api, "listening");
    url = `http://127.0.0.1:${(api.address() as AddressInfo).port}/base`;
  });
  afterAll(() => void api.close());

  const put = async (master: TestMaster, text: string) => {
    const reply = await master.call(`/v0/block?cid=${raw(text).cid}`, { method: "PUT", body: text });
    return ((await reply.json()) as { code?: string }).code ?? reply.status;
  };

  test.each([
    ["yes", 200, '{"canUpload":true}', 200, 200],
    ["no", 200, '{"canUpload":false}', "over_quota", "over_quota"],
    ["that the bearer is refused", 403, "", "over_quota", "over_quota"],
    ["a failure", 500, "", 200, "quota_unreachable"],
    ["noise", 200, "<html>", 200, "quota_unreachable"],
    ["a string instead of a boolean", 200, '{"canUpload":"false"}', 200, "quota_unreachable"],
    ["a redirect", 302, '{"canUpload":true}', 200, "quota_unreachable"],
  ])("that says %s", async (_, status, body, whenOpen, whenStrict) => {
    answer = { status, body };
    const open = await start({ quotaApi: { url, open: true } });
    const strict = await start({ quotaApi: { url, open: false } });
    expect([await put(open, "x"), await put(strict, "x")]).toEqual([whenOpen, whenStrict]);
  });

  test("that is unreachable lets uploads through in open mode only", async () => {
    const nowhere = "http://127.0.0.1:1/";
    expect(await put(await start({ quotaApi: { url: nowhere, open: true } }), "x")).toBe(200);
    expect(await put(await start({ quotaApi: { url: nowhere, open: false } }), "x")).toBe("quota_unreachable");
  });

  test("is asked once per bearer in 30 s, however many calls arrive at once, with the caller's bearer", async () => {
    answer = { status: 200, body: '{"canUpload":true}' };
    const clock = new ManualClock();
    const master = await start({ clock, quotaApi: { url, open: false } });
    asked.length = 0;
    await Promise.all(["a", "b", "c", "d"].map((text) => put(master, text)));
    expect(asked).toEqual([expect.stringMatching(/^\/base\/api\/v1\/storage Bearer fula-eip712\./)]);
    const bearer = await signToken(alice, Number(clock.nowNs() / 1_000_000_000n), 601);
    const again = async () =>
      fetch(`${master.origin}/v0/block?cid=${raw("x").cid}`, {
        method: "PUT",
        body: "x",
        headers: { authorization: `Bearer ${bearer}` },
      });
    await again();
    await clock.advance(29_000);
    await again();
    expect(asked).toHaveLength(2);
    await clock.advance(1_000);
    await again();
    expect(asked).toHaveLength(3);
  });
});

test("stalled uploads of one owner do not hold up another's", async () => {
  const master = await start();
  const bearer = await signToken(alice, Math.floor(Date.now() / 1000));
  const head = `POST /v1/blocks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bearer}\r\nContent-Length: 60000000\r\n\r\n`;
  const greedy = await Promise.all(
    Array.from({ length: 2 + OWNER_BODIES_BYTES / MAX_BLOCK_ACCEPTED }, () => RawClient.open(master.origin)),
  );
  const begun = Buffer.concat([
    encodeCarHeader(),
    encodeCarBlockHead(raw("x").cid, MAX_BLOCK_ACCEPTED),
    Buffer.alloc(FREE_BODY_BYTES),
  ]);
  for (const client of greedy) client.send(head).send(begun);
  await expect.poll(() => master.metrics()).toMatch(new RegExp(`^syncline_bodies_bytes ${OWNER_BODIES_BYTES}$`, "m"));
  expect(await missing(master, [raw("x")])).toHaveLength(1);
  expect(await upload(master, carOf(raw("bob's")), bob)).toMatchObject({ status: 200, stored: 1 });
  for (const client of greedy) client.close();
  expect(await upload(master, carOf(raw("alice's")))).toMatchObject({ status: 200, stored: 1 });
});

test("uploads that have barely begun take no memory from others of their owner", async () => {
  const master = await start();
  const bearer = await signToken(alice, Math.floor(Date.now() / 1000));
  const count = 2 + OWNER_BODIES_BYTES / MAX_BLOCK_ACCEPTED;
  const slow = await Promise.all(Array.from({ length: count }, () => RawClient.open(master.origin)));
  const head = `PUT /v0/block?cid=${raw("x").cid} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bearer}\r\n`;
  for (const client of slow) client.send(`${head}Content-Length: ${MAX_BLOCK_ACCEPTED}\r\n\r\nx`);
  expect(await missing(master, [raw("x")])).toHaveLength(1);
  const bytes = Buffer.alloc(MAX_BLOCK_ACCEPTED);
  expect(await upload(master, carOf({ cid: cidOf("raw", bytes), bytes }))).toMatchObject({ status: 200, stored: 1 });
  for (const client of slow) client.close();
});
