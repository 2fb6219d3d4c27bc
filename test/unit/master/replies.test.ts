/** How answers leave a master: at the reader's pace, and not beside one another without limit. */
import { once } from "node:events";
import { createServer, ServerResponse, IncomingMessage } from "node:http";
import { type AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { BODY_PATIENCE_MS } from "../../../src/base/limits.ts";
import { DISCARD_MS } from "../../../src/master/limits.ts";
import { signToken } from "../../../src/crypto/token.ts";
import { decodeCar } from "../../../src/format/blocks/car.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { Lane } from "../../../src/http/lane.ts";
import { endAnswer, writeAnswer } from "../../../src/master/http/reply.ts";
import { Metrics } from "../../../src/master/http/metrics.ts";
import { SqliteRootStore } from "../../../src/roots/sqlite-root-store.ts";
import { carOf } from "../../support/car.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RawClient } from "../../support/raw-http.ts";
import { alice, startTestMaster } from "../../support/test-master.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

test("a connection with 32 requests under way is not read until one of them ends", async () => {
  const socket = new Socket();
  const lane = new Lane(socket, () => {});
  const ends: (() => void)[] = [];
  const run = async () => {
    const response = new ServerResponse(new IncomingMessage(socket));
    await lane.run(response, () => new Promise<void>((resolve) => void ends.push(resolve)));
  };
  const running = Array.from({ length: 33 }, run);
  expect(ends).toHaveLength(32);
  expect(socket.isPaused()).toBe(true);
  ends[0]?.();
  await running[0];
  await expect.poll(() => ends.length).toBe(33);
  expect(socket.isPaused()).toBe(false);
  for (const end of ends) end();
  await Promise.all(running);
});

test("a stream's headers are sent ahead of it, or with its first piece if that is ready", async () => {
  const seen: string[] = [];
  const server = createServer(async (request, response) => {
    const [flush, write] = [response.flushHeaders.bind(response), response.write.bind(response)];
    response.flushHeaders = () => (seen.push("head"), flush());
    response.write = (...args: unknown[]) => (seen.push("piece"), write(...(args as [Uint8Array])));
    async function* body() {
      yield Buffer.from("one");
    }
    const answer = { status: 200, body: body(), isBegun: request.url === "/begun" };
    await writeAnswer(response, answer, { head: false, last: true, clock: systemClock });
    response.end();
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const ask = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).text();
  expect([await ask("/"), await ask("/begun")]).toEqual(["one", "one"]);
  expect(seen).toEqual(["head", "piece", "piece"]);
});

describe("a stalled reader", () => {
  test("holds little memory, is cut after 30 s, and gives its memory back", async () => {
    const clock = new ManualClock();
    const master = await startTestMaster({ clock });
    const blocks = Array.from({ length: 30 }, (_, at) => {
      const bytes = Buffer.alloc(1 << 20, `${at} `);
      return { cid: cidOf("raw", bytes), bytes };
    });
    await master.call("/v1/blocks", { method: "POST", body: carOf(...blocks) });
    const bearer = await signToken(alice, Number(clock.nowNs() / 1_000_000_000n), 3600);
    const body = JSON.stringify({ cids: blocks.map(({ cid }) => cid) });
    const client = await RawClient.open(master.origin);
    client.socket.pause();
    client.send(
      `POST /v1/blocks/get HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bearer}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    const held = async () => {
      const text = await master.metrics();
      return Number(/^syncline_answers_bytes (\d+)$/m.exec(text)?.[1]);
    };
    await expect.poll(held, { timeout: 30_000 }).toBeGreaterThan(0);
    expect(await held()).toBeLessThanOrEqual(2 << 20);
    await expect
      .poll(
        async () => {
          await clock.advance(30_000);
          return held();
        },
        { timeout: 30_000 },
      )
      .toBe(0);
    client.socket.resume();
    await client.closed();
    client.close();
    await master.stop();
  });

  test.each([
    ["a large JSON answer", 1, 32 << 20],
    ["many small JSON answers", 40_000, 1_000],
  ])("of %s is cut after 30 s, too", async (_what, count, bytes) => {
    const clock = new ManualClock();
    const answer = { status: 200, json: "x".repeat(bytes) };
    let isCut = false;
    const server = createServer(async (_request, response) => {
      if (response.socket === null) await once(response, "socket");
      await writeAnswer(response, answer, { head: false, last: false, clock }).catch(() => (isCut = true));
      endAnswer(response, clock, () => (isCut = true));
    }).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const client = await RawClient.open(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    client.socket.pause();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(count));
    await expect.poll(() => clock.advance(BODY_PATIENCE_MS).then(() => isCut)).toBe(true);
    client.close();
  });
});

test("concurrent answers keep their blocks apart, even beside readers that leave midway", async () => {
  const master = await startTestMaster();
  const blocks = Array.from({ length: 48 }, (_, at) => {
    const bytes = Buffer.alloc(150_000 + at * 3_001, `${at} `);
    return { cid: cidOf("raw", bytes), bytes };
  });
  await master.call("/v1/blocks", { method: "POST", body: carOf(...blocks) });
  const ask = (from: number, signal?: AbortSignal) => {
    const order = Array.from({ length: 24 }, (_, at) => blocks[(from * 5 + at * 11) % blocks.length]?.cid);
    return master.call("/v1/blocks/get", {
      method: "POST",
      body: JSON.stringify({ cids: order }),
      signal: signal ?? null,
    });
  };
  let intact = 0;
  const read = async (from: number) => {
    for await (const section of decodeCar((await ask(from)).body as AsyncIterable<Uint8Array>)) {
      if (section.kind === "block" && cidOf("raw", section.bytes) === section.cid) intact++;
    }
  };
  const leave = async (from: number) => {
    const gone = new AbortController();
    await (await ask(from, gone.signal)).body?.getReader().read();
    gone.abort();
  };
  for (let round = 0; round < 4; round++) {
    await Promise.all(Array.from({ length: 12 }, (_, at) => (at % 3 === 2 ? leave(at) : read(at))));
  }
  expect(intact).toBe(4 * 8 * 24);
  await master.stop();
});

test("metrics are OpenMetrics text", () => {
  const metrics = new Metrics();
  metrics.count("things", "Things.", { kind: 'a "b"\n' }, 2);
  metrics.gauge("level", "The level.", () => 7);
  metrics.observe("wait_seconds", "Waits.", {}, 0.05);
  expect(metrics.print().split("\n")).toEqual([
    "# TYPE things counter",
    "# HELP things Things.",
    'things_total{kind="a _b__"} 2',
    "# TYPE level gauge",
    "# HELP level The level.",
    "level 7",
    "# TYPE wait_seconds histogram",
    "# HELP wait_seconds Waits.",
    'wait_seconds_bucket{le="0.001"} 0',
    'wait_seconds_bucket{le="0.005"} 0',
    'wait_seconds_bucket{le="0.02"} 0',
    'wait_seconds_bucket{le="0.1"} 1',
    'wait_seconds_bucket{le="0.5"} 1',
    'wait_seconds_bucket{le="2"} 1',
    'wait_seconds_bucket{le="10"} 1',
    'wait_seconds_bucket{le="+Inf"} 1',
    "wait_seconds_sum 0.05",
    "wait_seconds_count 1",
    "# EOF",
    "",
  ]);
});

test("a pipelined answer that fails before its turn does not end the master", async () => {
  const clock = new ManualClock();
  const data = await temporaryFolder();
  using roots = new SqliteRootStore(join(data, "roots.db"));
  await roots.swap({ owner: alice.wallet, bucket: "b" }, undefined, cidOf("dag-cbor", Uint8Array.of(0x80)));
  const master = await startTestMaster({ clock, data });
  const failures: unknown[] = [];
  const onFailure = (error: unknown) => void failures.push(error);
  process.on("uncaughtException", onFailure);
  const bearer = await signToken(alice, Number(clock.nowNs() / 1_000_000_000n), 3600);
  const client = await RawClient.open(master.origin);
  // The first answer has no end; the second request is refused before its body was read, and the rest of that never comes.
  client.send(`GET /v1/buckets/b/watch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bearer}\r\n\r\n`);
  client.send("POST /v1/blocks HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx");
  expect((await client.answer()).status).toBe(200);
  await master.call("/health");
  await clock.advance(DISCARD_MS);
  expect((await master.call("/health")).status).toBe(200);
  client.socket.resetAndDestroy();
  expect((await master.call("/health")).status).toBe(200);
  process.off("uncaughtException", onFailure);
  expect(failures).toEqual([]);
  await master.stop();
});
