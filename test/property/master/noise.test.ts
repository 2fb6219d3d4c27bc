/** Requests with bytes changed, left out and cut off, several on one connection: never a 5xx, never the end of the master. */
import * as fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { signToken } from "../../../src/crypto/token.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { carOf } from "../../support/car.ts";
import { RawClient } from "../../support/raw-http.ts";
import { alice, startTestMaster, type TestMaster } from "../../support/test-master.ts";

let master: TestMaster;
let requests: Buffer[];
const failures: unknown[] = [];

beforeAll(async () => {
  process.on("uncaughtException", (error) => failures.push(error.stack));
  const log = { info: () => {}, warn: () => {}, error: (message: string) => void failures.push(message) };
  master = await startTestMaster({ log });
  const head = `HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${await signToken(alice, Math.floor(Date.now() / 1000), 3600)}\r\n`;
  const bytes = Buffer.from("a block");
  const cid = cidOf("raw", bytes);
  const car = carOf({ cid, bytes });
  const have = JSON.stringify({ cids: [cid] });
  const root = JSON.stringify({ root: cid });
  requests = [
    `GET /health ${head}\r\n`,
    `HEAD /ipfs/${cid}?format=raw ${head}\r\n`,
    `GET /ipfs/${cid}?format=car&dag-scope=all ${head}\r\n`,
    `PUT /v0/block?cid=${cid} ${head}Content-Length: 7\r\n\r\na block`,
    `PUT /v0/block?cid=${cid} ${head}Transfer-Encoding: chunked\r\n\r\n3\r\na b\r\n4;x=y\r\nlock\r\n0\r\nTrailer: t\r\n\r\n`,
    `POST /v1/blocks/have ${head}Expect: 100-continue\r\nContent-Length: ${have.length}\r\n\r\n${have}`,
    `POST /v1/blocks/get ${head}Content-Length: ${have.length}\r\n\r\n${have}`,
    `PUT /v1/buckets/b/root ${head}If-None-Match: *\r\nContent-Length: ${root.length}\r\n\r\n${root}`,
  ].map((text) => Buffer.from(text, "latin1"));
  requests.push(
    Buffer.concat([Buffer.from(`POST /v1/blocks ${head}Content-Length: ${car.length}\r\n\r\n`, "latin1"), car]),
  );
});
afterAll(() => master.stop());

const change = fc.oneof(
  fc.record({ kind: fc.constant("set" as const), at: fc.nat(), byte: fc.nat(255) }),
  fc.record({ kind: fc.constant("drop" as const), at: fc.nat(), byte: fc.nat(40) }),
  fc.record({ kind: fc.constant("repeat" as const), at: fc.nat(), byte: fc.nat(40) }),
);

function changed(
  bytes: Buffer,
  { kind, at, byte }: { kind: "set" | "drop" | "repeat"; at: number; byte: number },
): Buffer {
  const where = at % Math.max(1, bytes.length);
  if (kind === "set") return Buffer.concat([bytes.subarray(0, where), Buffer.of(byte), bytes.subarray(where + 1)]);
  const until = Math.min(bytes.length, where + byte);
  const again = kind === "drop" ? [] : [bytes.subarray(where, until), bytes.subarray(where, until)];
  return Buffer.concat([bytes.subarray(0, where), ...again, bytes.subarray(until)]);
}

test("unmodified requests are answered", async () => {
  const client = await RawClient.open(master.origin);
  const statuses: number[] = [];
  // HEAD tells a length that does not come, and streams have none: neither ends for a client as simple as this.
  for (const request of requests.filter(
    (bytes) => !/^(HEAD|GET .ipfs|POST .v1.blocks.get)/.test(bytes.toString("latin1")),
  )) {
    let { status } = await client.send(request).answer();
    if (status === 100) ({ status } = await client.answer());
    statuses.push(status);
  }
  client.close();
  expect(statuses).toEqual([200, 200, 200, 200, 400, 200]);
});

test("mutated requests cause no server error, and the master goes on", { timeout: 600_000 }, async () => {
  const runs = process.env["SYNCLINE_TEST_ALL"] === undefined ? 300 : 10_000;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(8), { minLength: 1, maxLength: 4 }),
      fc.array(change, { maxLength: 4 }),
      fc.constantFrom("end" as const, "reset" as const, "cut" as const),
      fc.nat(),
      async (picks, changes, ending, cut) => {
        const sent = changes.reduce(changed, Buffer.concat(picks.map((pick) => requests[pick] ?? Buffer.alloc(0))));
        const client = await RawClient.open(master.origin);
        client.send(ending === "cut" ? sent.subarray(0, cut % (sent.length + 1)) : sent);
        const statuses = ending === "reset" ? [] : await statusesOf(client);
        client.socket.resetAndDestroy();
        // 505: a version of HTTP that it does not speak.
        expect(statuses.filter((status) => status >= 500 && status !== 505)).toEqual([]);
        expect(failures).toEqual([]);
      },
    ),
    { numRuns: runs },
  );
  expect((await master.call("/health")).status).toBe(200);
});

async function statusesOf(client: RawClient): Promise<number[]> {
  client.socket.end();
  return [...(await client.rest()).matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, status]) => Number(status));
}
