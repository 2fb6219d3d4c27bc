/** Servers and endpoints that answer wrongly, stall, or go away a second time. */
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { CredentialChain } from "../../../../src/objects/s3/credentials.ts";
import { S3ObjectStore, type S3ObjectStoreOptions } from "../../../../src/objects/s3/s3-object-store.ts";
import { S3Script } from "../../../support/s3-script.ts";

const DAY_MS = 24 * 3_600_000;

async function serve(answer: RequestListener, port = 0): Promise<Server> {
  const server = createServer(answer).listen(port, "127.0.0.1");
  await once(server, "listening");
  return server;
}

async function stop(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}

const portOf = (server: Server) => (server.address() as AddressInfo).port;

function storeAt(port: number, more: Partial<S3ObjectStoreOptions> = {}): S3ObjectStore {
  return new S3ObjectStore({
    address: "s3://bucket/p",
    prefix: "p/",
    bucket: "bucket",
    endpoint: `http://127.0.0.1:${port}`,
    region: "us-east-1",
    style: "path",
    env: { AWS_ACCESS_KEY_ID: "key", AWS_SECRET_ACCESS_KEY: "secret" },
    clock: systemClock,
    random: systemRandom,
    ...more,
  });
}

test("an endpoint whose answer stalls gives no credentials, as one that does not answer", async () => {
  const server = await serve((_, response) => void response.writeHead(200).write("{"));
  const url = `http://127.0.0.1:${portOf(server)}/c`;
  const env = { AWS_CONTAINER_CREDENTIALS_FULL_URI: url, AWS_EC2_METADATA_DISABLED: "true", HOME: "/nowhere" };
  await expect(new CredentialChain(env, systemClock).get()).rejects.toMatchObject({ code: "bad_token" });
  await stop(server);
});

test("the store's date is the server's again once its clock was set right", async () => {
  await using server = await S3Script.start();
  const store = server.store();
  server.aheadMs = 7 * DAY_MS;
  server.put("pack/a", "x");
  server.aheadMs = 0;
  await store.get("pack/a");
  expect(((await store.now()) ?? 0) - Date.now()).toBeLessThan(DAY_MS);
});

test("a range with more bytes than asked for is refused", async () => {
  await using server = await S3Script.start();
  const headers = { etag: '"1"', "content-range": "bytes 0-999/1000" };
  server.next("GET", { status: 206, body: "x".repeat(1000), headers });
  const reading = server.store().getRanges("pack/a", [{ offset: 0, length: 10 }]);
  await expect(reading).rejects.toMatchObject({ code: "store_failed" });
});

test("a listing whose tokens form a cycle ends", async () => {
  let pages = 0;
  const server = await serve((_, response) => {
    const token = `<NextContinuationToken>${pages++ % 3}</NextContinuationToken>`;
    response.writeHead(200).end(`<ListBucketResult><IsTruncated>true</IsTruncated>${token}</ListBucketResult>`);
  });
  await using store = storeAt(portOf(server));
  const listing = async () => {
    for await (const { name } of store.list("roots/")) expect(name).toBe("none");
  };
  await expect(listing()).rejects.toMatchObject({ code: "store_failed" });
  expect(pages).toBeLessThan(20);
  await stop(server);
});

test("a server that was away once, and answered puts since, is waited for again", async () => {
  const start = (port: number) =>
    serve((request, response) => {
      request.resume();
      request.on("end", () => response.writeHead(200, { etag: '"1"', connection: "close" }).end());
    }, port);
  const first = await start(0);
  const port = portOf(first);
  await stop(first);
  let [server, nowMs]: [Server | undefined, number] = [undefined, 0];
  const clock = {
    ...systemClock,
    monotonicMs: () => nowMs,
    sleep: async (ms: number) => {
      nowMs += ms;
      server ??= await start(port);
    },
  };
  await using store = storeAt(port, { clock, patience: { ms: 60_000, waiting: () => {} } });
  for (let minute = 0; minute < 3; minute++) {
    expect(await store.putNew(`pack/${minute}`, [Buffer.from("x")])).toMatchObject({ kind: "stored" });
    nowMs += 60_000;
  }
  if (server !== undefined) await stop(server);
  server = undefined;
  expect(await store.putNew("pack/last", [Buffer.from("x")])).toMatchObject({ kind: "stored" });
  if (server !== undefined) await stop(server);
});
