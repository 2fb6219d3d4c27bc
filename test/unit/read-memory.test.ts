/** Answers whose memory is used again: nobody sees others' bytes in them. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { buildConnector } from "undici";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { nextTurn } from "../../src/base/concurrency.ts";
import { MasterConnection } from "../../src/net/master-connection.ts";
import { connectReusing } from "../../src/net/read-memory.ts";
import { randomLooking } from "../support/opaque-commits.ts";
import { scriptedServer } from "../support/scripted-server.ts";

const get = { method: "GET", path: "/x" } as const;
/** Pieces of many lengths, the longer ones longer than what one read brings. */
const PIECES = Array.from({ length: 60 }, (_, at) => randomLooking(`piece ${at}`, (at % 7) * 97_001 + 1).bytes);
const WHOLE = hashOf(PIECES);

describe("an answer", () => {
  test("that is read as it comes is what was sent, also beside others over the same connections", async () => {
    const connection = await connected();
    const read = async () => {
      const hash = createHash("sha256");
      await (
        await connection.call(get)
      ).read((part) => {
        hash.update(part);
        return "more";
      });
      return hash.digest("hex");
    };
    for (let round = 0; round < 3; round++) {
      expect(await Promise.all([read(), read(), read()])).toEqual([WHOLE, WHOLE, WHOLE]);
    }
  });

  test("that is read slowly keeps its parts, whatever is read meanwhile", async () => {
    const connection = await connected();
    const slow = await connection.call(get);
    const parts: Uint8Array[] = [];
    for await (const part of slow.body) {
      parts.push(part);
      if (parts.length % 5 === 0) await (await connection.call(get)).read(() => "more");
    }
    expect(hashOf(parts)).toBe(WHOLE);
  });

  test("of which somebody has enough is cut", async () => {
    const server = await scriptedServer();
    const cut = new Promise<void>((resolve) => {
      server.answer = (_, response) => {
        response.on("close", () => resolve());
        response.writeHead(200).write("part");
      };
    });
    await (await connect(server.origin).call(get)).read(() => "enough");
    await expect(cut).resolves.toBeUndefined();
  });

  test("whose reader fails is cut, and fails with that", async () => {
    for (const at of [1, 40]) {
      let parts = 0;
      const read = (await (await connected()).call(get)).read(() => {
        if (++parts === at) throw new RangeError("no more");
        return "more";
      });
      await expect(read).rejects.toThrow("no more");
      expect(parts).toBe(at);
    }
  });

  test("that breaks off is no answer", async () => {
    const server = await scriptedServer();
    server.answer = async (request, response) => {
      response.writeHead(200, { "content-length": 10_000_000 });
      response.write(Buffer.alloc(1 << 20), () => request.socket.destroy());
    };
    const answer = await connect(server.origin).call(get);
    await expect(answer.read(() => "more")).rejects.toMatchObject({ code: "store_unreachable" });
  });
});

test("what waits in a socket to be read is not written over", async () => {
  const pieces = Array.from({ length: 50 }, (_, at) => Buffer.alloc(1_000, `${at} `));
  const server = createServer(async (socket) => {
    for (const piece of pieces) {
      socket.write(piece);
      await nextTurn();
    }
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const target = { hostname: "127.0.0.1", host: "127.0.0.1", protocol: "http:", port: String(port) };
  const socket = await new Promise<Socket>((resolve, reject) => {
    connectReusing(buildConnector, {})(target, (...[error, connected]) => (error ? reject(error) : resolve(connected)));
  });
  // Begins to read from the system, and takes nothing of it.
  socket.read(0);
  await expect.poll(() => socket.readableLength).toBe(50_000);
  expect(Buffer.compare(socket.read() as Buffer, Buffer.concat(pieces))).toBe(0);
  socket.destroy();
  server.close();
});

async function connected(): Promise<MasterConnection> {
  const server = await scriptedServer();
  server.answer = async (_, response) => {
    response.writeHead(200);
    for (const piece of PIECES) if (!response.write(piece)) await once(response, "drain").catch(() => {});
    response.end();
  };
  return connect(server.origin);
}

function connect(origin: string): MasterConnection {
  const bearer = { token: async () => "token", refused: () => {} };
  return new MasterConnection(origin, { bearer, clock: systemClock });
}

function hashOf(parts: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}
