/** The socket of the WebDAV door: who gets as far as the handler, and what nobody can take from the others. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { request as httpsRequest } from "node:https";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog, type Log } from "../../../src/base/log.ts";
import { DavServer, type DavServerOptions } from "../../../src/webdav/server.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RawClient } from "../../support/raw-http.ts";

let server: DavServer;
let reached: string[];
/** What the log was warned of. */
let lines: string[];
const clients: RawClient[] = [];

/** Reads the body and answers how long it was. */
async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  reached.push(`${request.method} ${request.url}`);
  let bytes = 0;
  try {
    for await (const piece of request as AsyncIterable<Buffer>) bytes += piece.length;
  } catch {
    return;
  }
  response.end(String(bytes));
}

async function start(options: Partial<DavServerOptions> = {}): Promise<void> {
  reached = [];
  lines = [];
  const log: Log = { ...silentLog, warn: (_message, fields) => void lines.push(JSON.stringify(fields)) };
  const listen = { host: "127.0.0.1", port: 0, tls: undefined, names: [], login: undefined };
  server = await DavServer.listen({ ...listen, handler: echo, clock: systemClock, log, ...options });
}

async function client(): Promise<RawClient> {
  const opened = await RawClient.open(server.url.replace("https", "http"));
  clients.push(opened);
  return opened;
}

async function ask(head: string, body = ""): Promise<Awaited<ReturnType<RawClient["answer"]>>> {
  return (await client()).send(`${head}\r\n\r\n${body}`).answer();
}

afterEach(async () => {
  for (const each of clients.splice(0)) each.close();
  await server.stop();
});

describe("a request", () => {
  test("reaches the handler under this machine's names and the configured ones, and under no other", async () => {
    await start({ names: ["files.example"] });
    const port = new URL(server.url).port;
    const known = ["localhost", `127.0.0.1:${port}`, `[::1]:${port}`, "FILES.example.:8443", "127.1.2.3"];
    for (const host of known) expect((await ask(`GET / HTTP/1.1\r\nHost: ${host}`)).status, host).toBe(200);
    const foreign = [
      "evil.example",
      "127.0.0.1.evil.example",
      "localhost.evil.example",
      "192.0.2.1",
      "",
      "files.example.com",
    ];
    for (const host of foreign) expect((await ask(`GET / HTTP/1.1\r\nHost: ${host}`)).status, host).toBe(421);
    expect((await ask("GET / HTTP/1.0")).status).toBe(421);
    expect(reached).toHaveLength(known.length);
  });

  test("of an HTTP version other than 1.0 and 1.1 is refused, and ends the connection", async () => {
    await start();
    for (const version of ["2.0", "0.9"]) {
      const asking = await client();
      const answer = await asking.send(`GET / HTTP/${version}\r\nHost: localhost\r\n\r\n`).answer();
      expect([version, answer]).toMatchObject([version, { status: 505 }]);
      await asking.closed();
    }
    expect(reached).toEqual([]);
  });

  test("names its host once: in its target if that has one, otherwise in Host", async () => {
    await start({ names: ["files.example"] });
    for (const hosts of ["", "\r\nHost: localhost\r\nHost: localhost", "\r\nHost: localhost\r\nHost: evil.example"]) {
      expect([hosts, await ask(`GET / HTTP/1.1${hosts}`)]).toMatchObject([hosts, { status: 400 }]);
    }
    for (const target of ["http://evil.example/", "HTTP://evil.example:80/x?y", "https://evil.example"]) {
      expect([target, await ask(`GET ${target} HTTP/1.1\r\nHost: localhost`)]).toMatchObject([target, { status: 421 }]);
      expect([target, await ask(`GET ${target} HTTP/1.0`)]).toMatchObject([target, { status: 421 }]);
    }
    expect(reached).toEqual([]);
    // What a page from elsewhere is, too, is told by the host that the request is for.
    const put = (origin: string) =>
      ask(`PUT http://files.example/f HTTP/1.1\r\nHost: localhost\r\nOrigin: ${origin}\r\nContent-Length: 1`, "x");
    expect((await put("http://localhost")).status).toBe(403);
    expect((await put("http://files.example")).status).toBe(200);
    expect((await ask("GET http://localhost:1/f HTTP/1.1\r\nHost: evil.example")).status).toBe(200);
  });

  test("that changes something is refused when a page from elsewhere began it", async () => {
    await start();
    const host = new URL(server.url).host;
    const put = (headers: string) => ask(`PUT /f HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 1${headers}`, "x");
    for (const from of [
      "http://evil.example",
      "null",
      `http://${host}.evil.example`,
      "http://127.0.0.1:1",
      "file://",
    ]) {
      expect((await put(`\r\nOrigin: ${from}`)).status, from).toBe(403);
    }
    for (const site of ["cross-site", "same-site"]) expect((await put(`\r\nSec-Fetch-Site: ${site}`)).status).toBe(403);
    expect(reached).toEqual([]);
    expect((await put(`\r\nOrigin: http://${host}\r\nSec-Fetch-Site: same-origin`)).status).toBe(200);
    expect((await put("")).status).toBe(200);
    for (const method of ["DELETE", "MOVE", "COPY", "MKCOL", "LOCK", "PROPPATCH", "PROPFIND", "POST"]) {
      const { status } = await ask(`${method} /f HTTP/1.1\r\nHost: ${host}\r\nOrigin: http://evil.example`);
      expect(status, method).toBe(403);
    }
  });

  test("is answered without CORS headers, and with nosniff", async () => {
    await start();
    const { headers } = await ask("OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example");
    expect(Object.keys(headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
    expect(headers).toMatchObject({
      "x-content-type-options": "nosniff",
      "cross-origin-resource-policy": "same-origin",
    });
  });

  test("with overlong headers, or that is malformed, gets the matching error", async () => {
    await start();
    expect((await ask(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(20_000)}`)).status).toBe(431);
    expect((await ask("HELLO")).status).toBe(400);
    expect((await ask("CONNECT localhost:1 HTTP/1.1\r\nHost: localhost")).status).toBe(405);
    expect(reached).toEqual([]);
  });

  test("with too many header fields is refused as a whole: none is dropped, and nothing is done", async () => {
    await start();
    const put = (count: number) => {
      const fields = Array.from({ length: count }, (_, at) => `X-${at}: 1`).join("\r\n");
      return `PUT /f HTTP/1.1\r\nHost: localhost\r\n${fields}\r\nContent-Length: 5`;
    };
    const answer = await ask(put(127), "bytes");
    expect(answer).toMatchObject({ status: 431, headers: { connection: "close" } });
    expect(answer.body).toContain("128 header fields");
    expect((await ask(put(1_200), "bytes")).status).toBe(431);
    expect(reached).toEqual([]);
    expect(await ask(put(126), "bytes")).toMatchObject({ status: 200, body: "5" });
  });

  test("that repeats a field that may occur only once is refused", async () => {
    await start();
    const twice = [
      "Destination: /a",
      "Authorization: Basic YQ==",
      "If-Unmodified-Since: Sun, 09 Sep 2001 01:46:40 GMT",
    ];
    for (const field of twice) {
      const { status, body } = await ask(`MOVE /f HTTP/1.1\r\nHost: localhost\r\n${field}\r\n${field}`);
      expect([field, status, body]).toEqual([field, 400, expect.stringContaining("more than once")]);
    }
    expect(reached).toEqual([]);
  });

  test("with a body in an unsupported transfer coding is refused", async () => {
    await start();
    const body = "3\r\nabc\r\n0\r\n\r\n";
    const put = (...codings: string[]) =>
      ask(
        ["PUT /f HTTP/1.1", "Host: localhost", ...codings.map((one) => `Transfer-Encoding: ${one}`)].join("\r\n"),
        body,
      );
    for (const codings of [["gzip, chunked"], ["deflate,chunked"], ["gzip", "chunked"]]) {
      expect([codings, await put(...codings)]).toMatchObject([
        codings,
        { status: 501, headers: { connection: "close" } },
      ]);
    }
    expect(reached).toEqual([]);
    for (const coding of ["chunked", " Chunked "]) expect(await put(coding)).toMatchObject({ status: 200, body: "3" });
  });

  test("is answered after the previous one on its connection", async () => {
    const order: string[] = [];
    await start({
      handler: async (request, response) => {
        order.push(`begun ${request.url}`);
        await new Promise<void>((resolve) => setImmediate(resolve));
        order.push(`done ${request.url}`);
        response.end();
      },
    });
    const one = await client();
    const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    one.send(get("/1") + get("/2"));
    await one.answer();
    await one.answer();
    expect(order).toEqual(["begun /1", "done /1", "begun /2", "done /2"]);
  });
});

describe("connections", () => {
  test("beyond the limit get 503 with Retry-After, and there is room once another ends", async () => {
    await start({ maxConnections: 2 });
    const get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const first = await client();
    expect((await first.send(get).answer()).status).toBe(200);
    const second = await client();
    expect((await second.send(get).answer()).status).toBe(200);
    const third = await client();
    expect(await third.answer()).toMatchObject({ status: 503, headers: { "retry-after": "5" } });
    second.close();
    await expect
      .poll(async () => (await ask("GET / HTTP/1.1\r\nHost: localhost").catch(() => ({ status: 0 }))).status, {
        timeout: 60_000,
      })
      .toBe(200);
  });

  test("that are turned away are logged at most once a minute, with their number", async () => {
    const clock = new ManualClock();
    await start({ clock, maxConnections: 1 });
    await (await client()).send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").answer();
    for (let count = 0; count < 3; count++) expect((await (await client()).answer()).status).toBe(503);
    expect(lines).toEqual(['{"connections":1,"requests":0}']);
    await clock.advance(59_000);
    expect((await (await client()).answer()).status).toBe(503);
    expect(lines).toHaveLength(1);
    await clock.advance(1_000);
    expect(lines.slice(1)).toEqual(['{"connections":3,"requests":0}']);
    await clock.advance(600_000);
    expect(lines).toHaveLength(2);
    expect((await (await client()).answer()).status).toBe(503);
    expect(lines).toHaveLength(3);
  });

  test("that are idle are closed for new ones, the longest idle first", async () => {
    await start({ maxIdle: 2 });
    const first = await client();
    const get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    expect((await first.send(get).answer()).status).toBe(200);
    for (let count = 0; count < 2; count++) expect((await (await client()).send(get).answer()).status).toBe(200);
    await first.closed();
  });

  test("that never sent anything do not displace those that did", async () => {
    await start({ maxIdle: 2 });
    const get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const spoke = await client();
    expect((await spoke.send(get).answer()).status).toBe(200);
    const silent = await Promise.all(Array.from({ length: 20 }, () => client()));
    await silent[0]?.closed();
    expect((await spoke.send(get).answer()).status).toBe(200);
  });

  test("whose body comes by the byte are ended, and merely slow ones are not", async () => {
    const clock = new ManualClock();
    await start({ clock });
    const put = "PUT /f HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n";
    const crawling = (await client()).send(`${put}x`);
    const slow = (await client()).send(put);
    await expect.poll(() => reached.length, { timeout: 60_000 }).toBe(2);
    for (let count = 0; count < 6; count++) {
      slow.send(Buffer.alloc(20_000));
      crawling.send("x");
      // What was sent is there when an answer to something sent later is.
      await ask("GET / HTTP/1.1\r\nHost: localhost");
      await clock.advance(20_000);
    }
    await crawling.closed();
    slow.send(Buffer.alloc(1_000_000 - 120_000));
    expect((await slow.answer()).body).toBe("1000000");
  });

  test("that still wait for a body keep nobody out", async () => {
    await start({ maxCalls: 1 });
    for (let count = 0; count < 5; count++) {
      (await client()).send("PUT /f HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx");
    }
    await expect.poll(() => reached.length, { timeout: 60_000 }).toBe(5);
    expect((await ask("GET / HTTP/1.1\r\nHost: localhost")).status).toBe(200);
  });

  test("whose answers nobody reads are ended after a while if others wait; until then the others get 503", async () => {
    const clock = new ManualClock();
    const large = Buffer.alloc(64 << 20);
    await start({
      clock,
      maxCalls: 1,
      handler: async (request, response) => void response.end(request.url === "/large" ? large : "small"),
    });
    const lazy = await client();
    lazy.socket.pause();
    lazy.send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const small = async () => (await ask("GET /small HTTP/1.1\r\nHost: localhost")).status;
    await expect.poll(small, { timeout: 60_000 }).toBe(503);
    expect(lines).toEqual(['{"connections":0,"requests":1}']);
    await clock.advance(5_000);
    // What the system still took before it was full counts as taken.
    await clock.advance(5_000);
    expect(await small()).toBe(200);
  });

  test("end with the server, but only after running requests are answered", async () => {
    let finish: () => void = () => {};
    const begun = new Promise<void>((resolve) => {
      void start({
        handler: async (_request, response) => {
          resolve();
          await new Promise<void>((go) => (finish = go));
          response.end("done");
        },
      }).then(async () => (await client()).send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    });
    await begun;
    const stopped = server.stop();
    finish();
    expect((await clients[0]?.answer())?.body).toBe("done");
    await stopped;
    await clients[0]?.closed();
  });
});

test("with a certificate the server speaks only TLS", async () => {
  const tls = join(import.meta.dirname, "../../support/tls");
  const cert = readFileSync(join(tls, "cert.pem"), "utf8");
  await start({ tls: { cert, key: readFileSync(join(tls, "key.pem"), "utf8") } });
  expect(server.url).toMatch(/^https:/);
  const call = httpsRequest(server.url, { ca: cert, checkServerIdentity: () => undefined, agent: false });
  call.end();
  const [response] = (await once(call, "response")) as [IncomingMessage];
  response.resume();
  expect(response.statusCode).toBe(200);
  await expect(ask("GET / HTTP/1.1\r\nHost: localhost")).rejects.toThrow(/the connection ended/);
});

test("an address in use, or an invalid key, is reported", async () => {
  await start();
  const port = Number(new URL(server.url).port);
  const again = { host: "127.0.0.1", names: [], login: undefined, handler: echo, clock: systemClock, log: silentLog };
  await expect(DavServer.listen({ ...again, port, tls: undefined })).rejects.toThrow(/Cannot listen/);
  await expect(DavServer.listen({ ...again, port: 0, tls: { cert: "x", key: "y" } })).rejects.toThrow(/cannot be used/);
});
