/** What reaches a master's port and is no well-behaved request: each gets a clear answer, and none is a 5xx. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { signToken } from "../../../src/crypto/token.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RawClient } from "../../support/raw-http.ts";
import { alice, startTestMaster, type TestMaster } from "../../support/test-master.ts";

let master: TestMaster;
let bearer: string;
let clock: ManualClock;

beforeAll(async () => {
  clock = new ManualClock();
  master = await startTestMaster({ clock });
  bearer = `Authorization: Bearer ${await signToken(alice, Number(clock.nowNs() / 1_000_000_000n), 3600)}`;
});
afterAll(() => master.stop());

const open = async () => RawClient.open(master.origin);
const HOST = "Host: master";
const lines = (...parts: string[]) => `${parts.join("\r\n")}\r\n\r\n`;

/** One request on a connection of its own, and whether the server closed it afterwards. */
async function ask(text: string | Uint8Array) {
  const client = await open();
  try {
    const answer = await client.send(text).answer();
    return { ...answer, code: codeIn(answer.body) };
  } finally {
    client.close();
  }
}

function codeIn(body: string): unknown {
  return body.startsWith("{") ? (JSON.parse(body) as { code?: unknown }).code : undefined;
}

describe("a JSON answer for", () => {
  test.each([
    ["an unknown path", () => lines("GET /nope HTTP/1.1", HOST), 404, "no_such_call"],
    ["an empty segment", () => lines("GET //health HTTP/1.1", HOST), 404, "no_such_call"],
    ["a path with a parent segment", () => lines("GET /v1/../health HTTP/1.1", HOST), 404, "no_such_call"],
    ["a method that the path does not allow", () => lines("DELETE /health HTTP/1.1", HOST), 405, "method_not_allowed"],
    ["a WebDAV method", () => lines("PROPFIND /health HTTP/1.1", HOST), 405, "method_not_allowed"],
    ["a malformed percent escape", () => lines("GET /%zz HTTP/1.1", HOST), 400, "malformed_request"],
    ["percent escapes that are not UTF-8", () => lines("GET /ipfs/%ff HTTP/1.1", HOST), 400, "malformed_request"],
    ["the asterisk form", () => lines("OPTIONS * HTTP/1.1", HOST), 400, "malformed_request"],
    ["the authority form", () => lines("CONNECT example.org:443 HTTP/1.1", HOST), 405, "method_not_allowed"],
    ["HTTP/2.0", () => lines("GET /health HTTP/2.0", HOST), 505, "version_unknown"],
    ["HTTP/0.9", () => lines("GET /health HTTP/0.9"), 505, "version_unknown"],
    ["no Host", () => lines("GET /health HTTP/1.1"), 400, "malformed_request"],
    ["two Hosts", () => lines("GET /health HTTP/1.1", HOST, HOST), 400, "malformed_request"],
    [
      "two bearers",
      () => lines("GET /v1/buckets HTTP/1.1", HOST, bearer, "Authorization: Bearer x"),
      400,
      "malformed_request",
    ],
    [
      "two bearers after more headers than node:http keeps by default",
      () => lines("GET /v1/buckets HTTP/1.1", HOST, bearer, ...Array(2_100).fill("x:"), "Authorization: Bearer x"),
      400,
      "malformed_request",
    ],
    [
      "two If-Match headers",
      () => lines("PUT /v1/buckets/b/root HTTP/1.1", HOST, bearer, 'If-Match: "a"', 'If-Match: "b"'),
      400,
      "malformed_request",
    ],
    [
      "headers of 17 KiB",
      () => lines("GET /health HTTP/1.1", HOST, `X: ${"x".repeat(17 << 10)}`),
      431,
      "headers_too_large",
    ],
    ["a path of 17 KiB", () => lines(`GET /${"x".repeat(17 << 10)} HTTP/1.1`, HOST), 431, "headers_too_large"],
    [
      "both Content-Length and Transfer-Encoding",
      () =>
        `${lines("POST /v1/blocks HTTP/1.1", HOST, bearer, "Content-Length: 5", "Transfer-Encoding: chunked")}0\r\n\r\n`,
      400,
      "malformed_request",
    ],
    [
      "two different lengths",
      () => `${lines("POST /v1/blocks HTTP/1.1", HOST, bearer, "Content-Length: 5", "Content-Length: 6")}abcde`,
      400,
      "malformed_request",
    ],
    [
      "a negative length",
      () => lines("POST /v1/blocks HTTP/1.1", HOST, bearer, "Content-Length: -5"),
      400,
      "malformed_request",
    ],
    [
      "an encoding after chunked",
      () => lines("POST /v1/blocks HTTP/1.1", HOST, bearer, "Transfer-Encoding: chunked, gzip"),
      400,
      "malformed_request",
    ],
    [
      "a chunk whose size is not a number",
      () => `${lines("POST /v1/blocks/have HTTP/1.1", HOST, bearer, "Transfer-Encoding: chunked")}xyz\r\n`,
      400,
      "malformed_request",
    ],
    ["a header line without a colon", () => lines("GET /health HTTP/1.1", HOST, "nonsense"), 400, "malformed_request"],
    [
      "a space before the colon",
      () => lines("GET /health HTTP/1.1", HOST, "Authorization : Bearer x"),
      400,
      "malformed_request",
    ],
    ["a folded header line", () => lines("GET /health HTTP/1.1", HOST, "X: a", " b"), 400, "malformed_request"],
    ["a bare newline in a header", () => lines("GET /health HTTP/1.1", HOST, "X: a\nY: b"), 400, "malformed_request"],
    ["HTTP/3.0", () => lines("GET /health HTTP/3.0", HOST), 400, "malformed_request"],
    ["noise", () => Uint8Array.from({ length: 300 }, (_, at) => (at * 167) & 255), 400, "malformed_request"],
    ["TLS on a plain port", () => Uint8Array.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]), 400, "malformed_request"],
    ["HTTP/2 with prior knowledge", () => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "malformed_request"],
    ["an unknown expectation", () => lines("GET /health HTTP/1.1", HOST, "Expect: tea"), 417, "expectation_failed"],
    [
      "a compressed body",
      () => `${lines("POST /v1/blocks/have HTTP/1.1", HOST, bearer, "Content-Encoding: gzip", "Content-Length: 1")}x`,
      415,
      "encoding_unknown",
    ],
    [
      "a body that is compressed, and then chunked",
      () => `${lines("POST /v1/blocks/have HTTP/1.1", HOST, bearer, "Transfer-Encoding: gzip, chunked")}1\r\nx\r\n`,
      415,
      "encoding_unknown",
    ],
    [
      "a body that is not JSON",
      () => `${lines("POST /v1/blocks/have HTTP/1.1", HOST, bearer, "Content-Length: 1")}{`,
      400,
      "malformed_request",
    ],
    ["no body", () => lines("POST /v1/blocks/have HTTP/1.1", HOST, bearer), 400, "malformed_request"],
    [
      "JSON of the wrong shape",
      () => `${lines("POST /v1/blocks/have HTTP/1.1", HOST, bearer, "Content-Length: 4")}null`,
      400,
      "malformed_request",
    ],
    [
      "JSON of more than 1 MiB",
      () => lines("POST /v1/blocks/have HTTP/1.1", HOST, bearer, "Content-Length: 1048577"),
      413,
      "limit_exceeded",
    ],
    [
      "JSON of more than 1 MiB without a declared length",
      () =>
        `${lines("POST /v1/blocks/have HTTP/1.1", HOST, bearer, "Transfer-Encoding: chunked")}100001\r\n${" ".repeat(0x100001)}\r\n0\r\n\r\n`,
      413,
      "limit_exceeded",
    ],
    [
      "a CAR of more than 64 MiB",
      () => lines("POST /v1/blocks HTTP/1.1", HOST, bearer, "Content-Length: 67108865"),
      413,
      "limit_exceeded",
    ],
    [
      "a block of more than 4 MiB",
      () => lines(`PUT /v0/block?cid=${SOME_CID} HTTP/1.1`, HOST, bearer, "Content-Length: 4194305"),
      413,
      "limit_exceeded",
    ],
    [
      "an empty block",
      () => lines(`PUT /v0/block?cid=${SOME_CID} HTTP/1.1`, HOST, bearer, "Content-Length: 0"),
      400,
      "empty_body",
    ],
    [
      "a block without a CID",
      () => `${lines("PUT /v0/block HTTP/1.1", HOST, bearer, "Content-Length: 1")}x`,
      400,
      "bad_cid",
    ],
    [
      "a block under a CIDv0",
      () =>
        `${lines("PUT /v0/block?cid=QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n HTTP/1.1", HOST, bearer, "Content-Length: 1")}x`,
      400,
      "bad_cid",
    ],
    [
      "more blocks than one call allows",
      () => withJson("/v1/blocks/get", { cids: Array.from({ length: 1001 }, () => SOME_CID) }),
      413,
      "limit_exceeded",
    ],
    [
      "a gateway path without a format",
      () => lines(`GET /ipfs/${SOME_CID} HTTP/1.1`, HOST, bearer),
      400,
      "malformed_request",
    ],
    [
      "an invalid scope",
      () => lines(`GET /ipfs/${SOME_CID}?format=car&dag-scope=x HTTP/1.1`, HOST, bearer),
      400,
      "malformed_request",
    ],
    ["a missing block", () => lines(`GET /ipfs/${SOME_CID}?format=raw HTTP/1.1`, HOST, bearer), 404, "block_not_found"],
  ])("%s", async (_, request, status, code) => {
    const answer = await ask(request());
    expect(answer).toMatchObject({ status, code });
    expect(answer.headers).toMatchObject({ "content-type": "application/json" });
    expect(answer.body).not.toContain(bearer.slice(-20));
    expect(await (await ask(lines("GET /health HTTP/1.1", HOST))).status).toBe(200);
  });
});

const SOME_CID = "bafkr4ihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";

function withJson(path: string, value: unknown): string {
  const body = JSON.stringify(value);
  return `${lines(`POST ${path} HTTP/1.1`, HOST, bearer, `Content-Length: ${body.length}`)}${body}`;
}

describe("unusual but valid requests", () => {
  test("the absolute form", async () => {
    expect((await ask(lines("GET http://elsewhere/health?x HTTP/1.1", HOST))).status).toBe(200);
  });

  test("HTTP/1.0 without Host", async () => {
    expect((await ask(lines("GET /health HTTP/1.0"))).status).toBe(200);
  });

  test("a chunked body of unknown length", async () => {
    const request = `${lines("POST /v1/blocks/have HTTP/1.1", HOST, bearer, "Transfer-Encoding: chunked")}5\r\n{"cid\r\n6\r\ns":[]}\r\n0\r\n\r\n`;
    expect(await ask(request)).toMatchObject({ status: 200, body: '{"missing":[]}\n' });
  });

  test("an unexpected body is skipped", async () => {
    const client = await open();
    const get = lines("GET /health HTTP/1.1", HOST, "Content-Length: 5");
    expect((await client.send(`${get}abcde${get}fghij`).answer()).status).toBe(200);
    expect((await client.answer()).status).toBe(200);
    client.close();
  });

  test("a hundred pipelined requests are answered in order", async () => {
    const client = await open();
    const paths = Array.from({ length: 100 }, (_, at) => (at % 3 === 0 ? "/nope" : "/health"));
    client.send(paths.map((path) => lines(`GET ${path} HTTP/1.1`, HOST)).join(""));
    for (const path of paths) expect((await client.answer()).status).toBe(path === "/nope" ? 404 : 200);
    client.close();
  });
});

describe("Expect: 100-continue", () => {
  const head = (...more: string[]) =>
    lines("POST /v1/blocks/have HTTP/1.1", HOST, "Expect: 100-continue", "Content-Length: 11", ...more);

  test("the server asks for the body when it wants it", async () => {
    const client = await open();
    expect((await client.send(head(bearer)).answer()).status).toBe(100);
    expect((await client.send('{"cids":[]}').answer()).status).toBe(200);
    client.close();
  });

  test("a refusal replaces the 100 and ends the connection", async () => {
    const client = await open();
    const answer = await client.send(head()).answer();
    expect(answer).toMatchObject({ status: 401, headers: { connection: "close" } });
    await client.closed();
  });
});

describe("a slow sender", () => {
  const head = () => lines("POST /v1/blocks/have HTTP/1.1", HOST, bearer, "Content-Length: 1000");

  test("is cut after 30 s without a byte", async () => {
    const client = (await open()).send(`${head()}{`);
    await received();
    await clock.advance(29_000);
    await clock.advance(1_001);
    expect(codeIn((await client.answer()).body)).toBe("time_out");
    client.close();
  });

  test("is cut when only a few bytes arrive in 30 s", async () => {
    const client = (await open()).send(head());
    for (let second = 0; second < 4; second++) {
      await received();
      await clock.advance(10_000);
      client.send(" ");
    }
    expect((await client.answer()).status).toBe(408);
    client.close();
  });

  /** A round trip on another connection: what was sent before has been read by then. */
  async function received(): Promise<void> {
    for (let round = 0; round < 3; round++) await ask(lines("GET /health HTTP/1.1", HOST));
  }
});

test("a refusal reaches a sender that is still sending, without waiting for the body", async () => {
  const client = await open();
  client.send(lines("POST /v1/blocks HTTP/1.1", HOST, "Content-Length: 50000000")).send(new Uint8Array(3_000_000));
  const answer = await client.answer();
  expect(answer).toMatchObject({ status: 401, headers: { connection: "close" } });
  client.close();
});

test("a client that asks for a proxy and resets the connection ends only that connection", async () => {
  // An error that nobody listens for would be this process's end, and vitest tells of it.
  for (let round = 0; round < 20; round++) {
    const { socket } = (await open()).send(`${lines("CONNECT example.org:443 HTTP/1.1", HOST)}${"x".repeat(100_000)}`);
    socket.resetAndDestroy();
    expect((await ask(lines("GET /health HTTP/1.1", HOST))).status).toBe(200);
  }
});

test("HEAD is answered like GET, without a body", async () => {
  for (const path of ["/health", "/fula/capabilities", "/nope", "/api/v1/storage"]) {
    const client = await open();
    const get = await client.send(lines(`GET ${path} HTTP/1.1`, HOST, bearer)).answer();
    const head = (await open()).send(lines(`HEAD ${path} HTTP/1.1`, HOST, bearer, "Connection: close"));
    const text = await head.rest();
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${get.status} `));
    expect(text.endsWith("\r\n\r\n")).toBe(true);
    expect(text.toLowerCase()).toContain(`content-length: ${get.headers["content-length"]}`);
    client.close();
    head.close();
  }
});
