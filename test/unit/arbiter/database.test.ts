/** What a broken connection to PostgreSQL does to its master. The server here says what a test needs, in PostgreSQL's protocol. */
import { createServer, type Server } from "node:net";
import { expect, test } from "vitest";
import { Database } from "../../../src/arbiter/postgres/database.ts";
import { silentLog } from "../../../src/base/log.ts";

const AUTHENTICATED = message("R", Buffer.alloc(4));
const READY = message("Z", Buffer.from("I"));
const DONE = message("C", Buffer.from("SELECT 0\0"));
const TERMINATING = message("E", Buffer.from("SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"));

test("a connection that breaks right behind an answer ends nothing, and the next statement gets a new one", async () => {
  const server = createServer((socket) => {
    let isStarted = false;
    socket.on("error", () => {});
    socket.on("data", (data) => {
      if (!isStarted) socket.write(Buffer.concat([AUTHENTICATED, READY]));
      // The connection is still in use when its end is read: both come in one piece.
      else if (data[0] === "Q".charCodeAt(0)) socket.end(Buffer.concat([DONE, READY, TERMINATING]));
      isStarted = true;
    });
  });
  await using database = new Database(`postgres://one@127.0.0.1:${await portOf(server)}/one`, silentLog);
  expect(await database.query("SELECT")).toEqual([]);
  expect(await database.query("SELECT")).toEqual([]);
  server.close();
});

function message(type: string, body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(4 + body.length);
  return Buffer.concat([Buffer.from(type), length, body]);
}

function portOf(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
}
