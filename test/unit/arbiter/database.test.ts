/** What a broken connection to PostgreSQL does to its master. The server here says what a test needs, in PostgreSQL's protocol. */
import { rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { Database, withoutPassword } from "../../../src/arbiter/postgres/database.ts";
import { PostgresArbiter } from "../../../src/arbiter/postgres/postgres-arbiter.ts";
import { StatementFailed } from "../../../src/arbiter/postgres/statement-failed.ts";
import { systemClock } from "../../../src/base/clock.ts";
import type { SynclineError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const AUTHENTICATED = message("R", Buffer.alloc(4));
const READY = message("Z", Buffer.from("I"));
const DONE = message("C", Buffer.from("SELECT 0\0"));
const NOTIFIED = message("A", Buffer.from("\0\0\0\0syncline_roots\0owner/bucket\0"));
const TERMINATING = message("E", Buffer.from("SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"));

test.each(["postgres://one@a,b/one", "postgres://one@a:5432,b:5432/one", "postgresql://a,b"])(
  "several hosts are refused, with what to do instead: %s",
  (url) => {
    const refused = { code: "bad_address", message: expect.stringContaining("several"), hint: expect.any(String) };
    expect(() => withoutPassword(url)).toThrow(expect.objectContaining(refused));
  },
);

test("a comma in the password or the database is none between hosts", () => {
  expect(withoutPassword("postgres://one:a,b@host/one,two")).toBe("postgres://one@host/one,two");
});

test("a connection that breaks right behind an answer ends nothing, and the next statement gets a new one", async () => {
  const server = primary((socket, data) => {
    // The connection is still in use when its end is read: both come in one piece.
    if (data[0] === "Q".charCodeAt(0)) socket.end(Buffer.concat([DONE, READY, TERMINATING]));
  });
  await using database = new Database(`postgres://one@127.0.0.1:${await portOf(server)}/one`, systemClock, silentLog);
  expect(await database.query("SELECT")).toEqual([]);
  expect(await database.query("SELECT")).toEqual([]);
  server.close();
});

test.each([
  ["one session for both connections, as a pooler of transactions has", ["7", "7"], "config_invalid"],
  ["a session for each connection", ["7", "8"], undefined],
])("%s: %j", async (_, pids, code) => {
  const server = createServer((socket) => {
    let isStarted = false;
    socket.on("error", () => {});
    socket.on("data", (data) => {
      if (!isStarted) socket.write(Buffer.concat([AUTHENTICATED, READY]));
      else if (data.includes("pg_backend_pid")) socket.write(Buffer.concat([...numberRow(pids.shift() ?? ""), READY]));
      else socket.write(Buffer.concat([DONE, READY]));
      isStarted = true;
    });
  });
  await using database = new Database(`postgres://one@127.0.0.1:${await portOf(server)}/one`, systemClock, silentLog);
  const outcome = await database.requireSessions().catch((error: SynclineError) => error.code);
  expect(outcome).toBe(code);
  server.close();
});

describe("a server that refuses", () => {
  test.each([
    [
      "wants a password, and there is none",
      wantsPassword,
      { message: "PostgreSQL wants a password.", ending: "bad_token" },
    ],
    ["takes no empty password", refusing("28P01"), { message: "PostgreSQL wants a password.", ending: "bad_token" }],
    [
      "has no such database",
      refusing("3D000"),
      { message: expect.stringContaining("refused"), ending: "config_invalid" },
    ],
    [
      "offers no encryption",
      noEncryption,
      { message: expect.stringContaining("encryption"), ending: "config_invalid" },
    ],
  ])("%s: no connection to it stays open", async (_, answer, error) => {
    vi.stubEnv("PGPASSWORD", "");
    vi.stubEnv("PGPASSFILE", "/nowhere");
    onTestFinished(() => void vi.unstubAllEnvs());
    const open = new Set<Socket>();
    // Closes nothing by itself.
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      open.add(socket);
      let count = 0;
      socket.on("error", () => {});
      socket.on("data", () => void socket.write(answer(count++)));
      socket.on("close", () => open.delete(socket));
      socket.on("end", () => socket.end());
    });
    const tls = answer === noEncryption ? "?sslmode=verify-full" : "";
    const url = `postgres://one@127.0.0.1:${await portOf(server)}/one${tls}`;
    await using database = new Database(url, systemClock, silentLog);
    const failed = { code: "arbiter_unreachable", unchanged: true, ...error };
    for (let at = 0; at < 3; at++) {
      await expect(database.query("SELECT")).rejects.toMatchObject(failed);
      await expect(database.connection()).rejects.toMatchObject(failed);
    }
    await expect.poll(() => open.size).toBe(0);
    server.close();
  });

  test.each([
    ["28P01", "bad_token", /PGPASSWORD or ~\/\.pgpass/],
    ["28000", "bad_token", /createuser one\b/],
    ["42501", "bad_token", /ALTER DATABASE two OWNER TO one/],
    ["3D000", "config_invalid", /createdb -O one two/],
    ["57P03", "arbiter_unreachable", /log/],
  ])("with %s ends a command with %s and says what to do", (code, ending, hint) => {
    const cause = Object.assign(new Error("what it said"), { severity: "FATAL", code });
    const error = new StatementFailed("postgres://one@host/two", cause, true);
    expect(error).toMatchObject({ code: "arbiter_unreachable", ending, hint: expect.stringMatching(hint) });
    expect(error.message).toMatch(/refused.*what it said/);
    expect(error.hint).not.toContain("wait");
  });

  test("for want of encryption is told apart from one that does not know the user", () => {
    const cause = Object.assign(
      new Error('no pg_hba.conf entry for host "::1", user "a", database "b", no encryption'),
      { severity: "FATAL", code: "28000" },
    );
    expect(new StatementFailed("postgres://a@host/b", cause, true).hint).toContain("sslmode=verify-full");
  });
});

test("a certificate that cannot be read is a matter of the address", async () => {
  await using database = new Database("postgres://one@host/one?sslrootcert=/nowhere/ca.pem", systemClock, silentLog);
  const error = {
    code: "arbiter_unreachable",
    ending: "config_invalid",
    message: expect.stringContaining("/nowhere/ca.pem"),
  };
  await expect(database.query("SELECT")).rejects.toMatchObject(error);
  await expect(database.connection()).rejects.toMatchObject(error);
});

test("a certificate that vanishes under a busy master fails its statements, also those that wait for a connection", async () => {
  const certificate = join(await temporaryFolder(), "ca.pem");
  writeFileSync(certificate, "any");
  const asked = new Set<Socket>();
  const server = primary((socket) => void asked.add(socket));
  const url = `postgres://one@127.0.0.1:${await portOf(server)}/one?sslmode=disable&sslrootcert=${certificate}`;
  await using database = new Database(url, systemClock, silentLog);
  const failed = Array.from({ length: 12 }, () => database.query("SELECT").catch((error: unknown) => error));
  await expect.poll(() => asked.size).toBe(8);
  rmSync(certificate);
  for (const socket of asked) socket.destroy();
  for (const error of await Promise.all(failed)) expect(error).toBeInstanceOf(StatementFailed);
  server.close();
});

test("a server that falls silent does not keep a master that ends, nor its process", async () => {
  const isQuery = (data: Buffer) => data[0] === "Q".charCodeAt(0);
  const open = new Set<Socket>();
  // Closes nothing by itself, as a machine that has lost its power.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    let isStarted = false;
    socket.on("data", (data) => {
      if (!isStarted) socket.write(Buffer.concat([AUTHENTICATED, READY]));
      else if (data.includes("LISTEN")) socket.write(Buffer.concat([DONE, READY, NOTIFIED]));
      else if (isQuery(data) || data.includes("syncline_revoked")) socket.write(Buffer.concat([DONE, READY]));
      isStarted = true;
    });
  });
  const clock = new ManualClock();
  const url = `postgres://one@127.0.0.1:${await portOf(server)}/one`;
  // Those of earlier tests close.
  await expect.poll(sockets).toBe(0);
  const arbiter = new PostgresArbiter(new Database(url, clock, silentLog), clock, silentLog);
  expect(await arbiter.revoked.all()).toEqual([]);
  await new Promise<void>((resolve) => arbiter.watch(() => resolve()));
  expect(sockets()).toBe(4);
  let isOver = false;
  void arbiter[Symbol.asyncDispose]().then(() => (isOver = true));
  await expect.poll(async () => clock.advance(1_000).then(() => isOver)).toBe(true);
  // Those of the server are left.
  await expect.poll(sockets).toBe(2);
  for (const socket of open) socket.destroy();
  server.close();
});

/** Admits everybody, says that it is no standby, and leaves all else to `asked`. */
function primary(asked: (socket: Socket, data: Buffer) => void): Server {
  return createServer((socket) => {
    let isStarted = false;
    socket.on("error", () => {});
    socket.on("data", (data) => {
      if (!isStarted) socket.write(Buffer.concat([AUTHENTICATED, READY]));
      else if (data.includes("pg_is_in_recovery")) socket.write(Buffer.concat([DONE, READY]));
      else asked(socket, data);
      isStarted = true;
    });
  });
}

/** Asks for SCRAM, then for its second step. */
function wantsPassword(at: number): Buffer {
  const code = Buffer.alloc(4);
  code.writeUInt32BE(at === 0 ? 10 : 11);
  return message("R", Buffer.concat([code, Buffer.from(at === 0 ? "SCRAM-SHA-256\0\0" : "r=1,s=MQ==,i=4096")]));
}

function refusing(code: string): () => Buffer {
  return () => message("E", Buffer.from(`SFATAL\0VFATAL\0C${code}\0Mno\0\0`));
}

function noEncryption(): Buffer {
  return Buffer.from("N");
}

/** Open connections of this process, at either end. */
function sockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
}

function message(type: string, body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(4 + body.length);
  return Buffer.concat([Buffer.from(type), length, body]);
}

/** A result of one row with one integer, `pid`. */
function numberRow(text: string): Buffer[] {
  const column = Buffer.alloc(18);
  column.writeUInt32BE(23, 6);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  const one = Buffer.from("\0\x01", "latin1");
  const head = message("T", Buffer.concat([one, Buffer.from("pid\0"), column]));
  return [head, message("D", Buffer.concat([one, length, Buffer.from(text)])), DONE];
}

function portOf(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
}
