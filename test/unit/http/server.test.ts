/** The one HTTP server of masters and doors: how it ends, plain and over TLS. */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { HttpServer } from "../../../src/http/server.ts";

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
