/** A server closes a connection while the answer waits for a limit. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { RateLimit } from "../../../src/base/rate-limit.ts";
import { exchange } from "../../../src/net/exchange.ts";
import { openPool } from "../../../src/net/pool.ts";

const BYTES = 50_000;
const limit = new RateLimit(systemClock, [{ fromMinute: 0, bytesPerS: 1_000_000 }]);
const length = `content-length: ${BYTES}\r\n`;
const chunk = `transfer-encoding: chunked\r\n\r\n${(2 * BYTES).toString(16)}`;

let answer: (socket: Socket) => void;
const server = createServer((socket) => {
  socket.on("error", () => {});
  socket.once("data", () => answer(socket));
});
let origin = "";
beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());

test.each([
  ["that ends with the connection", ""],
  ["with a length, on a connection that ends", `connection: close\r\n${length}`],
  ["with a length, on a connection that could be used again", length],
])("an answer %s is whole", async (_, headers) => {
  answer = (socket) => send(socket, headers);
  expect(await bytesRead()).toBe(BYTES);
});

test.each([
  ["is cut", (socket: Socket) => send(socket, chunk)],
  ["is reset", (socket: Socket) => void socket.write(head(length), () => socket.resetAndDestroy())],
])("an answer that %s is not whole", async (_, given) => {
  answer = given;
  await expect(bytesRead()).rejects.toMatchObject({ name: "Unanswered" });
});

function head(headers: string): string {
  return `HTTP/1.1 200 OK\r\n${headers}\r\n`;
}

function send(socket: Socket, headers: string): void {
  socket.write(head(headers));
  socket.end(Buffer.alloc(BYTES));
}

async function bytesRead(): Promise<number> {
  const options = { clock: systemClock, tlsCa: undefined, connectMs: 10_000, maxHeaderSize: 16_384, connections: 1 };
  const pool = await openPool(origin, options);
  try {
    const request = { method: "GET", path: "/", headers: {}, silenceMs: 60_000, leastBytes: 0, limit } as const;
    const { read } = await exchange(pool, systemClock, origin, request);
    let bytes = 0;
    await read((part) => {
      bytes += part.length;
      return "more";
    });
    return bytes;
  } finally {
    await pool.destroy(new Error("the end"));
  }
}
