/** A pool that replaces its connections when the machine's network has changed. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { buildConnector, Pool } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exchange } from "../../../src/net/exchange.ts";
import { LivePool, LOOK_MS, noting, SLEPT_MS } from "../../../src/net/live-pool.ts";
import { Timeline } from "../../../src/simulate/timeline.ts";
import { systemClock } from "../../../src/base/clock.ts";

/** Answers "/quick", and nothing else. */
const server = createServer((request, response) => {
  if (request.url === "/quick") response.end("ok");
});
let origin = "";

beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** The outcome of a request that waits while this happens. */
async function waiting(happens: (world: { addresses: string[]; timeline: Timeline }) => Promise<void>) {
  const world = { addresses: ["127.0.0.1", "192.0.2.2"], timeline: new Timeline() };
  const connect = buildConnector({});
  const make = (uses: (address: string | undefined) => void) => new Pool(origin, { connect: noting(connect, uses) });
  const pool = new LivePool({ clock: world.timeline, make, addresses: () => [...world.addresses] });
  const request = (path: string) =>
    exchange(pool, systemClock, origin, { method: "GET", path, headers: {}, silenceMs: 60_000, leastBytes: 0 });
  const asked = request("/never").catch((error: unknown) => String(error));
  await once(server, "request");
  await happens(world);
  const quick = await request("/quick");
  await quick.read(() => "more");
  const outcome = await Promise.race([asked, Promise.resolve("waits")]);
  await pool.destroy(new Error("the end"));
  await asked;
  return { outcome, status: quick.status };
}

const look = (timeline: Timeline) => timeline.run(timeline.sleep(LOOK_MS + 1));

test("when an address disappears, waiting requests fail and the next request is answered", async () => {
  const { outcome, status } = await waiting(async ({ addresses, timeline }) => {
    addresses.splice(0, 1, "198.51.100.1");
    await look(timeline);
  });
  expect(outcome).toContain("address changed");
  expect(status).toBe(200);
});

test("an address that no connection uses may disappear", async () => {
  const { outcome, status } = await waiting(async ({ addresses, timeline }) => {
    addresses.splice(1, 1);
    await look(timeline);
  });
  expect(outcome).toBe("waits");
  expect(status).toBe(200);
});

test("an additional address keeps the connections", async () => {
  const { outcome, status } = await waiting(async ({ addresses, timeline }) => {
    addresses.push("198.51.100.1");
    await look(timeline);
  });
  expect(outcome).toBe("waits");
  expect(status).toBe(200);
});

test("after a sleep, waiting requests fail, even if the monotonic clock stood still", async () => {
  const { outcome } = await waiting(async ({ timeline }) => {
    timeline.skip(SLEPT_MS + 1);
    await look(timeline);
  });
  expect(outcome).toContain("slept");
});
