/** The one HTTP server of masters and doors: how it ends, plain and over TLS, and how it treats strangers. */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";
import { readFileSync } from "node:fs";
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { NETWORK_WAITING_CALLS } from "../../../src/http/limits.ts";
import { HttpServer, type HttpServerOptions } from "../../../src/http/server.ts";
import { RawClient } from "../../support/raw-http.ts";

const certificate = {
  cert: readFileSync(new URL("../../support/tls/cert.pem", import.meta.url), "utf8"),
  key: readFileSync(new URL("../../support/tls/key.pem", import.meta.url), "utf8"),
};

test.each([
  ["plain", undefined],
  ["over TLS", certificate],
] as const)("a stopping server finishes the answer under way and closes idle connections (%s)", async (_, tls) => {
  const begun = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const server = await HttpServer.listen({
    host: "127.0.0.1",
    port: 0,
    tls,
    clock: systemClock,
    maxConnections: 10,
    maxIdle: 10,
    stopMs: 60_000,
    async serve(request, response) {
      if (request.url === "/slow") {
        response.write("begun ");
        begun.resolve();
        await goOn.promise;
      }
      response.end("done");
    },
    noRequest: ({ status }) => ({ status, headers: {}, body: "" }),
  });
  const ask = tls === undefined ? plainRequest : tlsRequest;
  const answered = async (path: string) => {
    const [response] = (await once(
      ask(`${server.origin}${path}`, { rejectUnauthorized: false }).end(),
      "response",
    )) as [IncomingMessage];
    return Buffer.concat(await response.toArray()).toString();
  };
  expect(await answered("/")).toBe("done");
  const slow = answered("/slow");
  await begun.promise;
  const stopped = server.stop();
  goOn.resolve();
  expect(await slow).toBe("begun done");
  await stopped;
  await expect.poll(() => server.connections).toBe(0);
});

describe("connections of strangers", () => {
  const STRANGER = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  const KNOWN = "GET /known HTTP/1.1\r\nHost: x\r\n\r\n";
  const [ONE, OTHER, THIRD] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"] as const;

  /** Who asks for /known is no stranger. Who asks for /open is not answered until `answer`. */
  async function start(options: Partial<HttpServerOptions> = {}) {
    const begun: string[] = [];
    const goOn = Promise.withResolvers<void>();
    const server = await HttpServer.listen({
      host: "127.0.0.1",
      port: 0,
      tls: undefined,
      clock: systemClock,
      maxConnections: 100,
      maxStrangers: 100,
      maxIdle: 100,
      stopMs: 0,
      async serve({ url = "" }, response, lane) {
        if (url === "/known") lane.prove();
        begun.push(url);
        if (url === "/open") await goOn.promise;
        response.end("done");
      },
      noRequest: ({ status }) => ({ status, headers: {}, body: "" }),
      ...options,
    });
    const clients: RawClient[] = [];
    onTestFinished(() => {
      for (const each of clients) each.close();
      server.close();
    });
    const client = async (address: string) => {
      const opened = await RawClient.open(server.origin, address);
      clients.push(opened);
      return opened;
    };
    /** A connection that has had an answer. */
    const served = async (address: string, request = STRANGER) => {
      const opened = await client(address);
      expect((await opened.send(request).answer()).status).toBe(200);
      return opened;
    };
    return { server, begun, client, served, answer: () => goOn.resolve() };
  }

  test("are cut on a full server, oldest of the largest network first, and newcomers are served", async () => {
    const { served } = await start({ maxConnections: 4 });
    const known = await served(ONE, KNOWN);
    const honest = await served(OTHER);
    const [oldest, newer] = [await served(ONE), await served(ONE)];
    await served(THIRD);
    await oldest.closed();
    for (const each of [known, honest, newer]) expect((await each.send(STRANGER).answer()).status).toBe(200);
  });

  test("are cut beyond their own bound, though others have room", async () => {
    const { server, served } = await start({ maxStrangers: 2 });
    const known = [await served(ONE, KNOWN), await served(ONE, KNOWN), await served(ONE, KNOWN)];
    const oldest = await served(ONE);
    await served(ONE);
    await served(ONE);
    await oldest.closed();
    await expect.poll(() => server.connections).toBe(5);
    for (const each of known) expect((await each.send(KNOWN).answer()).status).toBe(200);
  });

  test("are not cut for newcomers once their callers are known", async () => {
    const { served, client } = await start({ maxConnections: 2 });
    const known = [await served(ONE, KNOWN), await served(OTHER, KNOWN)];
    await (await client(THIRD)).closed();
    for (const each of known) expect((await each.send(KNOWN).answer()).status).toBe(200);
  });

  test("have one request at a time processed, and 32 once their caller is known", async () => {
    const { begun, client, answer } = await start();
    const open = STRANGER.replace("/", "/open");
    const stranger = (await client(ONE)).send(open.repeat(3));
    const known = (await client(OTHER)).send(KNOWN + open.repeat(3));
    expect((await known.answer()).status).toBe(200);
    await expect.poll(() => begun).toEqual(expect.arrayContaining(["/known", "/open", "/open", "/open", "/open"]));
    expect(begun).toHaveLength(5);
    answer();
    for (const each of [stranger, known])
      for (let count = 0; count < 3; count++) expect((await each.answer()).status).toBe(200);
  });

  test("are cut when too many requests of one network wait for earlier ones, and other networks' are answered", async () => {
    const { client, answer } = await start();
    const open = STRANGER.replace("/", "/open");
    const many: RawClient[] = [];
    for (let waiting = 0; waiting < NETWORK_WAITING_CALLS; waiting += 64) {
      many.push((await client(ONE)).send(open.repeat(65)));
    }
    await (await client(ONE)).send(open.repeat(100)).closed();
    const other = (await client(OTHER)).send(open.repeat(2));
    answer();
    for (const each of [...many, other]) {
      for (let count = 0; count < 2; count++) expect((await each.answer()).status).toBe(200);
    }
  });

  test("count by connection, not by TLS layer", async () => {
    const { server } = await start({ maxStrangers: 2, tls: certificate });
    const ask = () =>
      once(tlsRequest(server.origin, { rejectUnauthorized: false, agent: false }).end(), "response") as Promise<
        [IncomingMessage]
      >;
    for (let count = 0; count < 5; count++) {
      const [response] = await ask();
      expect(Buffer.concat(await response.toArray()).toString()).toBe("done");
    }
  });
});
