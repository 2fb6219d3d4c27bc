/** Answers through sockets that share one buffer: each exchange gets its own bytes, however they arrive and are read. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { exchange } from "../../../src/net/exchange.ts";
import { openPool } from "../../../src/net/pool.ts";
import { LEAST_SHARED } from "../../../src/net/receive-buffer.ts";

const RUNS = process.env["SYNCLINE_TEST_ALL"] === undefined ? 40 : 1_000;

interface Sent {
  readonly bodyBytes: number;
  readonly headBytes: number;
  readonly isChunked: boolean;
  /** The server writes pieces of these sizes, in turn. The hundredth has the rest. */
  readonly pieces: readonly number[];
  /** Whether it lets each piece arrive before it writes the next one. */
  readonly isSlow: boolean;
  readonly reader: "callback" | "iterator" | "slow iterator";
}

const size = fc.oneof(
  fc.integer({ min: 0, max: 2_000 }),
  fc.integer({ min: LEAST_SHARED - 300, max: LEAST_SHARED + 300 }),
  fc.integer({ min: 0, max: 1_500_000 }),
);
const sent: fc.Arbitrary<Sent> = fc.record({
  bodyBytes: size,
  headBytes: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 12_000 })),
  isChunked: fc.boolean(),
  pieces: fc.array(
    size.map((bytes) => bytes + 1),
    { minLength: 1, maxLength: 4 },
  ),
  isSlow: fc.boolean(),
  reader: fc.constantFrom("callback", "iterator", "slow iterator"),
});
/** Exchanges on connections of their own, one after another on each. */
const connections = fc.array(fc.array(sent, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 });

describe.each(["http", "https"])("%s", (scheme) => {
  const answers = new Map<string, Sent>();
  const [cert, key] = [pem("cert"), pem("key")];
  const server: Server = scheme === "http" ? createServer(serve) : createTlsServer({ key, cert }, serve);
  let origin = "";

  beforeAll(async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    origin = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.close();
  });

  test("each exchange gets its own bytes", async () => {
    await fc.assert(
      fc.asyncProperty(connections, async (all) => {
        const options = { clock: systemClock, tlsCa: cert, connectMs: 10_000, maxHeaderSize: 16_384 };
        const pool = await openPool(origin, { ...options, connections: all.length });
        const get = async (path: string, { bodyBytes, headBytes, reader }: Sent) => {
          const request = { method: "GET", path, headers: {}, silenceMs: 60_000, leastBytes: 0 } as const;
          const answer = await exchange(pool, systemClock, origin, request);
          const hash = createHash("sha256");
          if (reader === "callback") await answer.read((part) => (hash.update(part), "more"));
          else
            for await (const part of answer.body) {
              if (reader === "slow iterator") await nextTurn();
              hash.update(part);
            }
          expect(answer.headers["x-long"] ?? "").toBe(longValue(path, headBytes));
          expect(hash.digest("hex")).toBe(createHash("sha256").update(bodyOf(path, bodyBytes)).digest("hex"));
        };
        answers.clear();
        await Promise.all(
          all.map(async (each, connection) => {
            for (const [turn, one] of each.entries()) {
              const path = `/${connection}-${turn}`;
              answers.set(path, one);
              await get(path, one);
            }
          }),
        );
        await pool.destroy(new Error("the end"));
      }),
      { numRuns: RUNS },
    );
  });

  function serve(socket: Socket): void {
    socket.setNoDelay(true);
    socket.on("error", () => {});
    let asked = "";
    socket.on("data", (data) => {
      asked += String(data);
      if (!asked.endsWith("\r\n\r\n")) return;
      const path = asked.split(" ")[1] ?? "";
      asked = "";
      const one = answers.get(path);
      if (one !== undefined) void write(socket, path, one);
    });
  }
});

function pem(name: string): string {
  return readFileSync(new URL(`../../support/tls/${name}.pem`, import.meta.url), "utf8");
}

async function write(socket: Socket, path: string, { pieces, isSlow, ...answer }: Sent): Promise<void> {
  const bytes = answerOf(path, answer);
  for (let at = 0, turn = 0; at < bytes.length && !socket.destroyed; turn++) {
    const end = turn < 99 ? at + (pieces[turn % pieces.length] ?? 1) : bytes.length;
    socket.write(bytes.subarray(at, end));
    at = end;
    if (isSlow) await nextTurn();
  }
}

function answerOf(path: string, { bodyBytes, headBytes, isChunked }: Omit<Sent, "pieces" | "isSlow">): Buffer {
  const body = bodyOf(path, bodyBytes);
  const length = isChunked ? "transfer-encoding: chunked" : `content-length: ${bodyBytes}`;
  const head = `HTTP/1.1 200 OK\r\nx-long: ${longValue(path, headBytes)}\r\n${length}\r\n\r\n`;
  if (!isChunked) return Buffer.concat([Buffer.from(head), body]);
  const chunks: Buffer[] = [];
  for (let at = 0; at < body.length; at += 100_000) {
    const chunk = body.subarray(at, at + 100_000);
    chunks.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n"));
  }
  return Buffer.concat([Buffer.from(head), ...chunks, Buffer.from("0\r\nx-trailer: 1\r\n\r\n")]);
}

function longValue(path: string, bytes: number): string {
  return path.repeat(bytes / path.length);
}

/** A body of its own for each path, which differs from the others at every offset. */
function bodyOf(path: string, bytes: number): Buffer {
  const seed = createHash("sha256").update(path).digest();
  const body = Buffer.alloc(bytes, seed);
  for (let at = 0; at + 4 <= bytes; at += 4_096) body.writeUInt32LE(at, at);
  return body;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
