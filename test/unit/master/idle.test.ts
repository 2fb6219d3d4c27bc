/** How many connections a master keeps open on which nothing is under way: those that are idle longest go first, requests are never cut. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectTls } from "node:tls";
import { afterEach, expect, test } from "vitest";
import { signToken } from "../../../src/crypto/token.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { RawClient } from "../../support/raw-http.ts";
import { alice, startTestMaster, type TestMaster } from "../../support/test-master.ts";

let master: TestMaster;
const clients: RawClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await master.stop();
});

async function start(maxIdle: number, tls?: { readonly cert: string; readonly key: string }) {
  master = await startTestMaster({ listen: { host: "127.0.0.1", port: 0, tls, maxIdle } });
}

/** A connection that has said nothing yet. */
async function silent(): Promise<RawClient> {
  const client = await RawClient.open(master.origin.replace("https", "http"));
  clients.push(client);
  return client;
}

/** One that has had an answer: the master knows it, and all that were opened before. */
async function served(): Promise<RawClient> {
  const client = await silent();
  expect(await health(client)).toBe(200);
  return client;
}

const HEALTH = ["GET /health HTTP/1.1\r\nHost: x\r\n", "\r\n"] as const;

async function health(client: RawClient): Promise<number> {
  return (await client.send(HEALTH.join("")).answer()).status;
}

test("beyond the limit, the connection idle longest is closed, whether or not it ever sent a request", async () => {
  await start(3);
  const first = await served();
  const second = await silent();
  const third = await served();
  expect(await health(first)).toBe(200);
  await served();
  await second.closed();
  await served();
  await third.closed();
  expect(await health(first)).toBe(200);
});

test("after a flood of connections only as many as allowed stay open, and every request was answered", async () => {
  await start(10);
  for (let index = 0; index < 200; index++) await served();
  await Promise.all(clients.slice(0, 190).map(async (client) => client.closed()));
  for (const client of clients.slice(190)) expect(await health(client)).toBe(200);
});

test("a request under way is not cut, however many connections arrive", async () => {
  await start(2);
  const bytes = Buffer.from("a block");
  const bearer = await signToken(alice, Math.floor(Date.now() / 1000));
  const head = `PUT /v0/block?cid=${cidOf("raw", bytes)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bearer}\r\n`;
  const busy = (await silent()).send(`${head}Content-Length: ${bytes.length}\r\n\r\n`).send(bytes.subarray(0, 3));
  for (let index = 0; index < 20; index++) await served();
  expect((await busy.send(bytes.subarray(3)).answer()).status).toBe(200);
});

test("a connection that is sending headers is passed over once", async () => {
  await start(3);
  const slow = (await silent()).send(HEALTH[0]);
  const idle = await served();
  for (let index = 0; index < 2; index++) await served();
  await idle.closed();
  expect((await slow.send(HEALTH[1]).answer()).status).toBe(200);
});

test("endless headers do not keep a connection open", async () => {
  await start(3);
  const slow = (await silent()).send(HEALTH[0]);
  for (let index = 0; index < 7; index++) await served();
  expect(await slow.rest()).toBe("");
});

test("with TLS, connections without a handshake count too, and completed handshakes do not", async () => {
  const pem = (name: string) => readFileSync(new URL(`../../support/tls/${name}.pem`, import.meta.url), "utf8");
  const tls = { cert: pem("cert"), key: pem("key") };
  await start(2, tls);
  const options = { host: "127.0.0.1", port: Number(new URL(master.origin).port), ca: tls.cert };
  const open = async () => {
    const socket = connectTls({ ...options, servername: "localhost" });
    await once(socket, "secureConnect");
    const ask = async () => {
      socket.write(HEALTH.join(""));
      const [answer] = (await once(socket, "data")) as [Buffer];
      return answer.toString();
    };
    expect(await ask()).toContain("200 OK");
    return { socket, ask };
  };
  const dumb = await silent();
  const first = await open();
  expect(first.socket.destroyed).toBe(false);
  const second = await open();
  await dumb.closed();
  expect(await first.ask()).toContain("200 OK");
  expect(await second.ask()).toContain("200 OK");
  const gone = once(first.socket, "close");
  await open();
  await gone;
  second.socket.destroy();
});
