import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { SynclineError } from "../../../src/base/errors.ts";
import { MASTER_NEXT_MS } from "../../../src/base/limits.ts";
import { carBatch } from "../../../src/blocks/car-batch.ts";
import { CAR_TYPE } from "../../../src/format/blocks/car.ts";
import type { Bearer } from "../../../src/net/bearer.ts";
import { isUntrusted, type Master, MasterConnection, maybeReceived } from "../../../src/net/master-connection.ts";
import { MasterHealth } from "../../../src/net/master-health.ts";
import { Masters } from "../../../src/net/masters.ts";
import { HttpRootStore } from "../../../src/roots/http-root-store.ts";
import { carOf } from "../../support/car.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { bytesAnswer } from "../../support/meddling-master.ts";
import { seededRandom } from "../../support/test-bucket.ts";
import { raw } from "../../support/opaque-commits.ts";
import { json, scriptedServer, type ScriptedServer } from "../../support/scripted-server.ts";

const get = { method: "GET", path: "/v1/buckets" } as const;

describe("a call", () => {
  test("carries the bearer, and its answer is JSON", async () => {
    const server = await scriptedServer();
    server.answer = (_, response) => json(response, 200, { fine: true });
    expect(await (await connect(server).call(get)).json()).toEqual({ fine: true });
    expect(server.seen).toEqual([{ method: "GET", url: "/v1/buckets", authorization: "Bearer token-1" }]);
  });

  test.each([
    [401, "token_expired", "bad_token"],
    [402, "over_quota", "over_quota"],
    [403, "device_not_certified", "device_not_certified"],
    [403, "anything else", "wallet_not_allowed"],
    [404, "no_such_bucket", "no_such_bucket"],
    [408, "", "time_out"],
    [409, "foreign_genesis", "foreign_bucket"],
    [409, "bad_seq", "precondition_failed"],
    [413, "limit_exceeded", "limit_exceeded"],
    [429, "", "store_unreachable"],
    [500, "internal", "store_unreachable"],
    [503, "arbiter_unreachable", "arbiter_unreachable"],
    [507, "disk_full", "disk_full"],
    [302, "", "store_unreachable"],
    [401, "disk_full", "bad_token"],
  ])("that is refused with %i %s fails with %s", async (status, code, expected) => {
    const server = await scriptedServer();
    server.answer = (_, response) => json(response, status, { code, message: "because" });
    await expect(connect(server).call(get)).rejects.toMatchObject({ code: expected });
  });

  test.each([
    ["a web page", 200, { "content-type": "text/html; charset=utf-8" }],
    ["a redirect (status 302)", 302, { location: "http://portal.example/login" }],
  ])("that %s answers, as in a network that wants a login, is away and not repeated", async (what, status, headers) => {
    const server = await scriptedServer();
    const connection = connect(server);
    await connection.capabilities();
    server.answer = (_, response) => void response.writeHead(status, headers).end("<html>Log in</html>");
    const error: unknown = await connection.call(get).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "store_unreachable", message: expect.stringContaining(what) });
    expect([isUntrusted(error), maybeReceived(error)]).toEqual([true, true]);
    server.answer = (_, response) => json(response, 200, {});
    expect((await connection.call(get)).status).toBe(200);
  });

  test("that a proxy refuses with a page fails with the status' error", async () => {
    const server = await scriptedServer();
    server.answer = (_, response) => void response.writeHead(413, { "content-type": "text/html" }).end("<html>");
    await expect(connect(server).call(get)).rejects.toMatchObject({ code: "limit_exceeded" });
  });

  test.each([
    ["3", 3_000],
    ["86400", 10_000],
  ])("after a refusal with Retry-After: %s waits for %i ms; a public call does not", async (seconds, ms) => {
    const server = await scriptedServer();
    server.answer = (_, response) => {
      response.setHeader("retry-after", seconds);
      json(response, server.seen.length === 1 ? 503 : 200, { code: "busy" });
    };
    const clock = new ManualClock();
    const connection = connect(server, { clock });
    await expect(connection.call(get)).rejects.toMatchObject({ code: "store_unreachable" });
    const waiting = connection.call(get);
    await expect.poll(() => clock.dueIn(ms)).toBe(1);
    await (await connection.call({ ...get, path: "/health", open: true })).json();
    expect(server.seen.map(({ url }) => url)).toEqual(["/v1/buckets", "/health"]);
    await clock.advance(ms);
    expect((await waiting).status).toBe(200);
    await (await connection.call(get)).json();
  });

  test("that waits as its server asked ends with its signal", async () => {
    const server = await scriptedServer();
    server.answer = (_, response) => response.writeHead(429, { "retry-after": "2" }).end();
    const connection = connect(server, { clock: new ManualClock() });
    await expect(connection.call(get)).rejects.toMatchObject({ code: "store_unreachable" });
    const end = new AbortController();
    const waiting = connection.call({ ...get, signal: end.signal });
    end.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
  });

  test("follows no redirect: the bearer goes nowhere else", async () => {
    const [server, other] = [await scriptedServer(), await scriptedServer()];
    server.answer = (_, response) => response.writeHead(307, { location: `${other.origin}/v1/buckets` }).end();
    await expect(connect(server).call(get)).rejects.toMatchObject({ code: "store_unreachable" });
    expect(other.seen).toEqual([]);
  });

  test("to a server without TLS says so, on one line", async () => {
    const { origin } = await scriptedServer();
    const failed = connect({ origin: origin.replace("http:", "https:") }).call(get);
    await expect(failed).rejects.toMatchObject({
      message: expect.stringMatching(/ does not answer: it speaks no TLS, perhaps http\.$/),
    });
  });

  test("ignores proxies from the environment", async () => {
    const [server, proxy] = [await scriptedServer(), await scriptedServer()];
    server.answer = (_, response) => json(response, 200, {});
    process.env["http_proxy"] = proxy.origin;
    onTestFinished(() => void delete process.env["http_proxy"]);
    await (await connect(server).call(get)).json();
    expect(proxy.seen).toEqual([]);
  });

  test("a server's error text is shortened and sanitized before it is shown", async () => {
    const server = await scriptedServer();
    server.answer = (_, response) => json(response, 500, { code: "x", message: `\u001b[2J\u202e${"a".repeat(5_000)}` });
    const error = await connect(server)
      .call(get)
      .catch((cause: unknown) => cause as Error);
    expect((error as Error).message).toMatch(/u\{1b\}.*u\{202e\}/);
    expect((error as Error).message.length).toBeLessThan(700);
  });
});

describe("nothing is sent twice", () => {
  test.each(["GET", "PUT"] as const)("a %s whose answer is lost", async (method) => {
    const server = await scriptedServer();
    server.answer = (request) => request.socket.destroy();
    const error = await connect(server)
      .call({ method, path: "/x" })
      .catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: "store_unreachable" });
    expect(maybeReceived(error)).toBe(true);
    expect(server.seen).toHaveLength(1);
  });

  test("on a kept-alive connection that the master closes", async () => {
    const server = await scriptedServer();
    server.answer = (_, response) => json(response, 200, {});
    const connection = connect(server);
    await (await connection.call(get)).json();
    let sockets = 0;
    server.answer = (request) => {
      sockets++;
      request.socket.destroy();
    };
    await expect(connection.call({ method: "PUT", path: "/x" })).rejects.toMatchObject({ code: "store_unreachable" });
    expect(sockets).toBe(1);
  });

  test("a refused connection is known to have received nothing", async () => {
    const server = await scriptedServer();
    const connection = connect(server);
    await server.close();
    const error = await connection.call({ method: "PUT", path: "/x" }).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: "store_unreachable" });
    expect(maybeReceived(error)).toBe(false);
  });
});

describe("a hostile master", () => {
  test("JSON beyond the limit is cut off", async () => {
    const server = await scriptedServer();
    let cut = 0;
    server.answer = (_, response) => {
      response.on("close", () => cut++);
      response.writeHead(200);
      const pour = () => {
        while (response.write("[".repeat(65_536)));
      };
      response.on("drain", pour);
      pour();
    };
    const answer = await connect(server).call(get);
    await expect(answer.json()).rejects.toMatchObject({ code: "limit_exceeded" });
    await expect.poll(() => cut).toBe(1);
  });

  test("endless headers are cut off", async () => {
    const server = await scriptedServer();
    server.answer = (request) => request.socket.write(`HTTP/1.1 200 OK\r\nx: ${"a".repeat(100_000)}\r\n`);
    await expect(connect(server).call(get)).rejects.toMatchObject({ code: "store_unreachable" });
  });

  test("silence times out", async () => {
    const server = await scriptedServer();
    const asked = new Promise<void>((resolve) => (server.answer = () => resolve()));
    const clock = new ManualClock();
    const call = connect(server, { clock }).call(get);
    const failed = call.catch((error: SynclineError) => error.code);
    await asked;
    await clock.advance(31_000);
    expect(await failed).toBe("store_unreachable");
  });

  test("a silence is as long as the connection allows, and the error says so", async () => {
    const server = await scriptedServer();
    const asked = new Promise<void>((resolve) => (server.answer = () => resolve()));
    const clock = new ManualClock();
    const call = connect(server, { clock, silenceMs: 2_000 }).call(get);
    const failed = call.catch((error: SynclineError) => error.cause);
    await asked;
    await clock.advance(2_000);
    expect(await failed).toMatchObject({ silentMs: 2_000, message: "no data moved for 2 s" });
  });

  test("the time that a line may need for a large body is no silence", async () => {
    const server = await scriptedServer();
    const received = new Promise<void>((resolve) => {
      server.answer = (request) => void request.resume().on("end", () => resolve());
    });
    const clock = new ManualClock();
    const bytes = 4 * 1024 * 1024;
    const body = { type: CAR_TYPE, bytes, pieces: [Buffer.alloc(bytes)] };
    let outcome = "waits";
    connect(server, { clock })
      .call({ method: "POST", path: "/v1/blocks", body })
      .catch((error: SynclineError) => (outcome = error.code));
    await received;
    await clock.advance(37_000);
    expect(outcome).toBe("waits");
    await clock.advance(10_000);
    await expect.poll(() => outcome).toBe("store_unreachable");
  });

  test("an answer that drips times out, and one that flows slowly does not", async () => {
    for (const [bytes, outcome] of [
      [10, "store_unreachable"],
      [2_000, "read"],
    ] as const) {
      const server = await scriptedServer();
      const clock = new ManualClock();
      let drip = () => {};
      server.answer = (_, response) => {
        response.writeHead(200);
        drip = () => void response.write(Buffer.alloc(bytes));
        drip();
      };
      const answer = await connect(server, { clock }).call(get);
      const parts = answer.body[Symbol.asyncIterator]();
      const rounds = async () => {
        for (let round = 0; round < 6; round++) {
          const next = parts.next();
          await clock.advance(15_000);
          drip();
          await next;
        }
        return "read";
      };
      expect(await rounds().catch((error: SynclineError) => error.code)).toBe(outcome);
      await parts.return?.(undefined);
    }
  });

  test("a truncated answer is an error", async () => {
    const server = await scriptedServer();
    server.answer = (request, response) => {
      response.writeHead(200, { "content-length": 100 });
      response.write("{}");
      setImmediate(() => request.socket.destroy());
    };
    const answer = await connect(server).call(get);
    await expect(answer.json()).rejects.toMatchObject({ code: "store_unreachable" });
  });

  test("an answer not read to its end frees its connection", async () => {
    const server = await scriptedServer();
    const closed = new Promise<void>((resolve) => {
      server.answer = (_, response) => {
        response.on("close", () => resolve());
        response.writeHead(200);
        response.write("part");
      };
    });
    for await (const part of (await connect(server).call(get)).body) if (part.length > 0) break;
    await expect(closed).resolves.toBeUndefined();
  });
});

describe("a slow reader blocks the sender instead of filling memory", () => {
  test("and is never taken for a silent master", async () => {
    const server = await scriptedServer();
    const clock = new ManualClock();
    let written = 0;
    server.answer = async (_, response) => {
      response.writeHead(200);
      for (let part = 0; part < 64; part++) {
        written = part;
        if (!response.write(Buffer.alloc(1 << 20))) await once(response, "drain").catch(() => {});
      }
      response.end();
    };
    const answer = await connect(server, { clock }).call(get);
    let bytes = 0;
    let stalled = false;
    for await (const part of answer.body) {
      bytes += part.length;
      if (stalled || bytes < 1 << 20) continue;
      stalled = true;
      await expect.poll(() => written, { interval: 20 }).toBeGreaterThan(0);
      const before = written;
      await clock.advance(120_000);
      expect(before).toBeLessThan(40);
    }
    expect(bytes).toBe(64 << 20);
  });
});

describe("capabilities", () => {
  test("are requested once, without a bearer", async () => {
    const server = await scriptedServer();
    const connection = connect(server);
    expect(await connection.capabilities()).toEqual(await connection.capabilities());
    expect(server.seen).toEqual([]);
  });

  test.each([undefined, null, [], "formats", { formats: [2, 3] }, { formats: "1" }])(
    "that are %j mean an unsupported master",
    async (value) => {
      const server = await scriptedServer();
      server.capabilities = value ?? null;
      await expect(connect(server).capabilities()).rejects.toMatchObject({ code: "not_supported" });
    },
  );

  test("that break off mean an unreachable master, not an unsupported one", async () => {
    const server = await scriptedServer();
    server.probe = (_, response) => {
      response.writeHead(200, { "content-type": "application/json", "content-length": 1_000 });
      response.write('{"formats":[1],', () => response.destroy());
    };
    await expect(connect(server).capabilities()).rejects.toMatchObject({ code: "store_unreachable" });
  });

  test("that are missing or invalid fall back to the defaults", async () => {
    const server = await scriptedServer();
    server.capabilities = { formats: [1], watch: "yes", maxBlock: -1 };
    expect(await connect(server).capabilities()).toEqual({
      watch: false,
      turns: false,
      masters: false,
      maxBlock: 4_194_304,
      leaseMs: 86_400_000,
    });
  });
});

describe("a bearer", () => {
  test("that was refused is renewed once, and the call repeated with its whole body, even for a swap", async () => {
    const server = await scriptedServer();
    const bodies: string[] = [];
    server.answer = async (request, response) => {
      bodies.push(await text(request));
      if (request.headers.authorization === "Bearer token-1") json(response, 401, { code: "token_revoked" });
      else json(response, 200, {});
    };
    const block = raw("a block");
    const car = { type: CAR_TYPE, ...carBatch([block]) };
    const swap = { type: "application/json", bytes: 2, pieces: [Buffer.from("{}")] };
    const calls = [
      { ...get, sent: "" },
      { method: "POST", path: "/v1/blocks", body: car, sent: carOf(block).toString("utf8") },
      { method: "PUT", path: "/v1/buckets/a/root", body: swap, sent: "{}" },
    ] as const;
    for (const { sent, ...request } of calls) {
      await (await connect(server).call(request)).json();
      expect(server.seen.splice(0).map(({ authorization }) => authorization)).toEqual([
        "Bearer token-1",
        "Bearer token-2",
      ]);
      expect(bodies.splice(0)).toEqual([sent, sent]);
    }
  });

  test("that is refused twice fails the call", async () => {
    const server = await scriptedServer();
    server.answer = (_, response) => json(response, 401, { code: "token_revoked" });
    await expect(connect(server).call(get)).rejects.toMatchObject({ code: "bad_token" });
    expect(server.seen).toHaveLength(2);
  });

  test("is not sent unencrypted to another machine", () => {
    const options = { bearer: countingBearer(), clock: systemClock };
    const refused = ["http://192.0.2.1:3600", "http://example.org", "http://127.0.0.1.example.org", "http://[::2]"];
    for (const origin of refused) {
      expect(() => new MasterConnection(origin, options)).toThrow(expect.objectContaining({ code: "bad_address" }));
    }
    for (const origin of ["https://example.org", "http://127.9.9.9", "http://[::1]:1", "http://localhost:1"]) {
      expect(new MasterConnection(origin, options).address).toBe(origin);
    }
    expect(new MasterConnection("http://example.org", { ...options, insecure: true })).toBeDefined();
  });
});

describe("several masters", () => {
  test("the first that answers is used until it stops answering", async () => {
    const [gone, first, second] = [await scriptedServer(), await scriptedServer(), await scriptedServer()];
    await gone.close();
    const masters = new Masters([connect(gone), connect(first), connect(second)], systemClock);
    for (const [server, name] of [
      [first, "first"],
      [second, "second"],
    ] as const) {
      server.answer = (_, response) => json(response, 200, { name });
    }
    expect(await (await masters.call(get)).json()).toEqual({ name: "first" });
    await first.close();
    expect(await (await masters.call(get)).json()).toEqual({ name: "second" });
  });

  test("if none answers, the error names the first", async () => {
    const servers = [await scriptedServer(), await scriptedServer()];
    for (const server of servers) await server.close();
    const masters = new Masters(
      servers.map((server) => connect(server)),
      systemClock,
    );
    await expect(masters.call(get)).rejects.toThrow(servers[0]?.origin);
  });

  test("a silent first master costs a short wait, once", async () => {
    const clock = new ManualClock();
    const silent = fakeMaster("silent", { answers: false });
    const second = fakeMaster("second");
    const third = fakeMaster("third");
    const masters = new Masters([silent, second, third], clock);
    const first = masters.call(get);
    await clock.advance(MASTER_NEXT_MS - 1);
    expect(second.probes).toBe(0);
    await clock.advance(1);
    await first;
    await masters.call(get);
    second.fails = true;
    const next = masters.call(get);
    await clock.advance(MASTER_NEXT_MS);
    await next;
    await masters.call(get);
    expect([silent, second, third].map(({ calls }) => calls)).toEqual([0, 3, 2]);
    expect([silent, second, third].map(({ probes }) => probes)).toEqual([2, 1, 1]);
  });

  test("a stale root is read again at the other, until the first is healthy", async () => {
    const [first, second] = [await scriptedServer(), await scriptedServer()];
    const root = raw("root").cid;
    first.answer = ({ url }, response) =>
      url === "/health" ? json(response, 503, {}) : json(response, 200, { root, version: 1, stale: true });
    second.answer = (_, response) => json(response, 200, { root, version: 2 });
    const masters = new Masters([connect(first), connect(second)], systemClock);
    const roots = new HttpRootStore(masters);
    expect(await roots.get({ owner: "", bucket: "b" })).toMatchObject({ version: 2 });
    expect(masters.members()).toMatchObject([
      { used: true, left: null },
      { used: false, left: "its root is stale" },
    ]);
    second.answer = first.answer;
    await expect(roots.get({ owner: "", bucket: "b" })).rejects.toMatchObject({ code: "arbiter_unreachable" });
  });

  test("while all roots are stale, a reader that allows it gets the newest of them, also when another master is gone", async () => {
    const servers = [await scriptedServer(), await scriptedServer(), await scriptedServer()];
    const commit = raw("root").cid;
    for (const [index, server] of servers.entries()) {
      server.answer = ({ url }, response) =>
        url === "/health"
          ? json(response, 503, {})
          : json(response, 200, { root: commit, version: 9 - index, stale: true });
    }
    await servers[2]?.close();
    const roots = new HttpRootStore(
      new Masters(
        servers.map((server) => connect(server)),
        systemClock,
      ),
    );
    const stale = { root: { commit, version: 9 }, isStale: true };
    expect(await roots.read({ owner: "", bucket: "b" })).toEqual(stale);
    await expect(roots.get({ owner: "", bucket: "b" })).rejects.toMatchObject({ code: "arbiter_unreachable" });
  });

  test("a much faster master is moved to after three probes, and a slightly faster one is not", () => {
    const [used, other] = [new MasterHealth(fakeMaster("used")), new MasterHealth(fakeMaster("other"))];
    const probe = (usedMs: number, otherMs: number) => {
      used.healthy(0, usedMs);
      other.healthy(0, otherMs);
      return other.isBetterThan(used);
    };
    expect([probe(50, 20), probe(50, 20), probe(50, 20)]).toEqual([false, false, true]);
    expect(used.isBetterThan(other)).toBe(false);
    expect([1, 2, 3, 4, 5, 6].map(() => probe(50, 40)).at(-1)).toBe(false);
    other.leave("slow", 0, 1);
    expect(other.isBetterThan(used)).toBe(false);
  });

  test("while all fail their health checks, calls stay where they are, and go to the first that is well again", async () => {
    const clock = new ManualClock();
    const [first, second] = [fakeMaster("first"), fakeMaster("second")];
    const tools = { random: seededRandom(1), connect: () => first };
    const masters = new Masters([first, second], clock, tools);
    [first.isSick, second.isSick] = [true, true];
    /** Each master that was used in so many seconds, with a call in each. */
    const usedIn = async (seconds: number) => {
      const used = new Set<string | undefined>();
      for (let second = 0; second < seconds; second++) {
        await masters.call(get);
        used.add(masters.members().find((member) => member.used)?.address);
        await clock.advance(1_000);
      }
      return [...used];
    };
    await usedIn(2);
    const [used, ...others] = await usedIn(300);
    expect(others).toEqual([]);
    expect(masters.members().every(({ left }) => left !== null)).toBe(true);
    const other = used === "first" ? second : first;
    other.isSick = false;
    await usedIn(60);
    expect(await usedIn(60)).toEqual([other.address]);
  });

  test("a master whose call fails is replaced by the next", async () => {
    const [first, second] = [fakeMaster("first"), fakeMaster("second")];
    const masters = new Masters([first, second], new ManualClock());
    first.fails = true;
    await masters.call(get);
    expect([first.calls, second.calls]).toEqual([1, 1]);
  });
});

function connect(
  server: Pick<ScriptedServer, "origin">,
  options: { clock?: ManualClock; bearer?: Bearer; silenceMs?: number } = {},
): MasterConnection {
  const { clock = systemClock, bearer = countingBearer(), silenceMs } = options;
  const connection = new MasterConnection(server.origin, { bearer, clock, silenceMs });
  onTestFinished(() => connection[Symbol.asyncDispose]());
  return connection;
}

interface FakeMaster extends Master {
  fails: boolean;
  /** Answers, except for health checks. */
  isSick: boolean;
  calls: number;
  probes: number;
}

/** A master that tells what it can do, unless it is silent for ever, and answers calls unless it `fails`. */
function fakeMaster(address: string, { answers = true } = {}): FakeMaster {
  const master: FakeMaster = {
    address,
    fails: false,
    isSick: false,
    calls: 0,
    probes: 0,
    async call({ path }) {
      if (path !== "/health") master.calls++;
      else if (!answers) return new Promise(() => {});
      if (master.fails || (master.isSick && path === "/health"))
        throw new SynclineError("store_unreachable", `${address} does not answer.`);
      return { ...bytesAnswer(Buffer.alloc(0)), json: async () => ({}) };
    },
    async capabilities() {
      master.probes++;
      return answers ? { watch: true, turns: true, masters: false, maxBlock: 1, leaseMs: 1 } : new Promise(() => {});
    },
    async [Symbol.asyncDispose]() {},
  };
  return master;
}

/** token-1, then token-2 once that was refused, and so on. */
function countingBearer(): Bearer {
  let count = 1;
  return { token: async () => `token-${count}`, refused: (token) => void (token === `token-${count}` && count++) };
}
