/** A watch whose LISTEN fails, as by statement_timeout on a busy server. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import { Database } from "../../../src/arbiter/postgres/database.ts";
import { PostgresArbiter } from "../../../src/arbiter/postgres/postgres-arbiter.ts";
import { silentLog } from "../../../src/base/log.ts";
import { ManualClock } from "../../support/manual-clock.ts";

function message(type: string, body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(4 + body.length);
  return Buffer.concat([Buffer.from(type), length, body]);
}
const AUTHENTICATED = message("R", Buffer.alloc(4));
const READY = message("Z", Buffer.from("I"));
const DONE = message("C", Buffer.from("SELECT 0\0"));
const CANCELED = message("E", Buffer.from("SERROR\0VERROR\0C57014\0Mcanceling statement due to statement timeout\0\0"));

test("a watch whose LISTEN fails leaves no connection behind", async () => {
  const open = new Set<Socket>();
  let asked = 0;
  const server = createServer((socket) => {
    open.add(socket);
    let isStarted = false;
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
    socket.on("data", (data) => {
      if (!isStarted) socket.write(Buffer.concat([AUTHENTICATED, READY]));
      else if (data.includes("LISTEN")) {
        asked++;
        socket.write(Buffer.concat([CANCELED, READY]));
      } else socket.write(Buffer.concat([DONE, READY]));
      isStarted = true;
    });
  });
  const clock = new ManualClock();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const database = new Database(`postgres://one@127.0.0.1:${port}/one`, clock, silentLog);
  const arbiter = new PostgresArbiter(database, clock, silentLog);
  const watch = arbiter.watch(() => {});
  await expect.poll(async () => clock.advance(1_000).then(() => asked)).toBeGreaterThan(20);
  const left = open.size;
  watch[Symbol.dispose]();
  void arbiter[Symbol.asyncDispose]();
  await clock.advance(5_000);
  for (const socket of open) socket.destroy();
  server.close();
  expect(left).toBeLessThanOrEqual(2);
});
