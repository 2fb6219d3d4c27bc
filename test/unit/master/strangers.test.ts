/** What strangers cost a master: which signatures are looked at, who waits, and what nobody is told without a bearer. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import type { Wallet } from "../../../src/base/ids.ts";
import { silentLog } from "../../../src/base/log.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { signToken } from "../../../src/crypto/token.ts";
import { Bearers, type BearerRules } from "../../../src/master/http/bearers.ts";
import { SignatureQueue, type Peer } from "../../../src/master/http/signature-queue.ts";
import { Refusal } from "../../../src/master/http/refusal.ts";
import { RateLimits } from "../../../src/master/http/rate-limits.ts";
import {
  DOUBTS_REST,
  NETWORK_WAITING_SIGNATURES,
  STRANGER_BURST,
  STRANGER_WAIT_MS,
  SUSPICION_MS,
  WAITING_SIGNATURES,
} from "../../../src/master/limits.ts";
import { openFolderStorage } from "../../../src/master/store/folder-storage.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RawClient } from "../../support/raw-http.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";
import { alice, startTestMaster, stranger, type TestMaster } from "../../support/test-master.ts";

let master: TestMaster | undefined;
afterEach(async () => {
  await master?.stop();
  master = undefined;
});

function peer(address: string, signal = new AbortController().signal): Peer {
  return { connection: {}, address, signal };
}

async function forgedFor(wallet: string, now: number, seconds?: number): Promise<string> {
  const [scheme, payload = "", signature] = (await signToken(stranger, now, seconds)).split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
  return `${scheme}.${Buffer.from(JSON.stringify({ ...claims, wallet })).toString("base64url")}.${signature}`;
}

test("the signature of a wallet that is not served is not checked", async () => {
  const clock = new ManualClock();
  const revocations = { has: () => false } as unknown as BearerRules["revocations"];
  const bearers = new Bearers({ allow: new Set([alice.wallet]), sessionKey: undefined, revocations, clock });
  const now = bearers.nowSeconds();
  const noSignature = (await signToken(stranger, now)).replace(/[^.]*$/, Buffer.alloc(65, 27).toString("base64url"));
  await expect(bearers.checkText(noSignature)).rejects.toMatchObject({ code: "wallet_not_allowed" });
  await expect(bearers.checkText(await forgedFor(alice.wallet, now))).rejects.toMatchObject({ code: "token_foreign" });
});

test("further tokens of a known caller are verified in their turn", async () => {
  const manual = new ManualClock();
  let spentMs = 0;
  // Each verification takes 1 ms.
  const clock = {
    ...systemClock,
    monotonicMs: () => manual.monotonicMs() + spentMs++,
    after: manual.after.bind(manual),
  };
  const revocations = { has: () => false } as unknown as BearerRules["revocations"];
  const bearers = new Bearers({ allow: new Set([alice.wallet]), sessionKey: undefined, revocations, clock });
  const now = bearers.nowSeconds();
  const known = peer("192.0.2.1");
  const mine = await signToken(alice, now);
  await bearers.checkText(mine, known);
  await manual.advance(1_000);
  const refused: string[] = [];
  const forged = await Promise.all([600, 500, 400].map((seconds) => forgedFor(alice.wallet, now, seconds)));
  const checks = forged.map(async (token) => {
    await bearers.checkText(mine, known);
    await bearers.checkOwn(token, alice.wallet, known).catch(() => refused.push(token));
  });
  await manual.advance(0);
  expect(refused).toHaveLength(1);
  await manual.advance(1_000);
  await Promise.all(checks);
  expect(refused).toHaveLength(3);
});

describe("signatures are verified", () => {
  const fails = () => {
    throw new Error("forged");
  };
  let clock: ManualClock;
  let doubts: SignatureQueue;
  let order: string[];
  let spentMs: number;
  beforeEach(() => {
    clock = new ManualClock();
    [order, spentMs] = [[], 0];
    const slow = { monotonicMs: () => clock.monotonicMs() + spentMs };
    doubts = new SignatureQueue({
      ...slow,
      nowNs: () => 0n,
      sleep: async () => {},
      after: (ms, act) => clock.after(ms, act),
    });
  });
  /** A verification that takes 2 ms. */
  const note = (name: string) => () => {
    spentMs += 2;
    order.push(name);
  };

  const failsSlowly = () => {
    spentMs += 2;
    fails();
  };

  test("in rotation across connections, however many one sends, and for only a part of the time", async () => {
    const [many, one] = [peer("192.0.2.1"), peer("192.0.2.1")];
    const all = ["a", "b", "c"].map((name) => doubts.resolve(many, note(name)));
    all.push(doubts.resolve(one, note("one")));
    expect(order).toEqual(["a"]);
    await clock.advance(2 * DOUBTS_REST - 1);
    expect(order).toEqual(["a"]);
    await clock.advance(6 * DOUBTS_REST);
    await Promise.all(all);
    expect(order).toEqual(["a", "b", "one", "c"]);
  });

  test("last for addresses with a recent failure", async () => {
    await expect(doubts.resolve(peer("2001:db8::1"), fails)).rejects.toThrow("forged");
    const first = doubts.resolve(peer("192.0.2.9"), note("first"));
    const rest = ["2001:db8::2", "2001:db8:0:1::1"].map((address) => doubts.resolve(peer(address), note(address)));
    await clock.advance(100);
    await Promise.all([first, ...rest]);
    expect(order).toEqual(["first", "2001:db8:0:1::1", "2001:db8::2"]);
    await clock.advance(SUSPICION_MS);
    const later = ["192.0.2.9", "2001:db8::3", "192.0.2.10"].map((address) =>
      doubts.resolve(peer(address), note(address)),
    );
    await clock.advance(100);
    await Promise.all(later);
    expect(order.slice(3)).toEqual(["192.0.2.9", "2001:db8::3", "192.0.2.10"]);
  });

  test("at once on a connection that showed a valid bearer, until one fails", async () => {
    const known = peer("192.0.2.1");
    doubts.trust(known);
    const waits = ["one", "two"].map((name) => doubts.resolve(peer("192.0.2.1"), note(name)));
    await doubts.resolve(known, note("known"));
    expect(order).toEqual(["one", "known"]);
    await expect(doubts.resolve(known, fails)).rejects.toThrow("forged");
    waits.push(doubts.resolve(known, note("known again")));
    expect(order).toEqual(["one", "known"]);
    await clock.advance(100);
    await Promise.all(waits);
    expect(order).toEqual(["one", "known", "two", "known again"]);
  });

  test("not for a client that has gone", async () => {
    const gone = new AbortController();
    const first = doubts.resolve(peer("192.0.2.1"), note("first"));
    const second = doubts.resolve(peer("192.0.2.1", gone.signal), note("second"));
    gone.abort(new Error("gone"));
    await Promise.all([first, expect(second).rejects.toThrow("gone"), clock.advance(100)]);
    expect(order).toEqual(["first"]);
  });

  test("for so many waiting callers of one network, and the others are told to come back", async () => {
    const outcomes = Array.from({ length: 50 }, () => peer("192.0.2.1")).flatMap((each) =>
      Array.from({ length: 32 }, async () => doubts.resolve(each, failsSlowly).catch((error: unknown) => error)),
    );
    const other = doubts.resolve(peer("192.0.2.2"), note("other"));
    await clock.advance(60_000);
    const refused = (await Promise.all(outcomes)).filter((error) => error instanceof Refusal);
    expect(refused).toHaveLength(50 * 32 - 1 - NETWORK_WAITING_SIGNATURES);
    expect(refused[0]).toMatchObject({ code: "busy", status: 503, headers: { "retry-after": "2" } });
    await other;
  });

  test("for a network with few waiting callers, even if those of others fill the queue", async () => {
    const busy: string[] = [];
    const many = Array.from({ length: WAITING_SIGNATURES + 1 }, async (_, index) => {
      const address = `192.0.2.${index % 5}`;
      await doubts.resolve(peer(address), note(address)).catch(() => busy.push(address));
    });
    const few = [1, 2].map((each) => doubts.resolve(peer("198.51.100.1"), note(`few ${each}`)));
    await clock.advance(6 * 2 * DOUBTS_REST);
    expect(order).toContain("few 1");
    expect(busy).toHaveLength(2);
    await clock.advance(60_000);
    await Promise.all([...many, ...few]);
    expect(order).toHaveLength(1 + WAITING_SIGNATURES);
  });

  test("for 32 agents that start at once behind one address", async () => {
    const agents = Array.from({ length: 32 * 8 }, () => doubts.resolve(peer("192.0.2.1"), note("agent")));
    await clock.advance(60_000);
    expect(await Promise.all(agents)).toHaveLength(256);
  });

  test("in places that clients leave when they go", async () => {
    const gone = new AbortController();
    const leave = () => doubts.resolve(peer("192.0.2.1", gone.signal), note("gone"));
    await doubts.resolve(peer("192.0.2.1"), note("first"));
    const left = Array.from({ length: NETWORK_WAITING_SIGNATURES }, async () =>
      expect(leave()).rejects.toThrow("gone"),
    );
    gone.abort(new Error("gone"));
    const next = doubts.resolve(peer("192.0.2.1"), note("next"));
    await Promise.all([...left, next, clock.advance(100)]);
    expect(order).toEqual(["first", "next"]);
  });
});

test("forged bearers on many connections leave room for a valid one from another address", async () => {
  const manual = new ManualClock();
  let spentMs = 0;
  // The first check takes time, so the others wait until the clock advances.
  const clock: Clock = {
    nowNs: () => manual.nowNs(),
    monotonicMs: () => manual.monotonicMs() + spentMs++,
    sleep: (ms, signal) => manual.sleep(ms, signal),
    after: (ms, action) => manual.after(ms, action),
  };
  const { origin } = (master = await startTestMaster({ clock, publicBlocks: true }));
  const now = Number(clock.nowNs() / 1_000_000_000n);
  const ask = (bearer: string) => `GET /v1/buckets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bearer}\r\n\r\n`;
  const forged = ask(await forgedFor(alice.wallet, now));
  const answers: number[] = [];
  const many: RawClient[] = [];
  for (let count = 0; count < 1 + NETWORK_WAITING_SIGNATURES + 20; count++) {
    const each = await RawClient.open(origin);
    many.push(each.send(forged));
    each.answer().then(
      ({ status }) => answers.push(status),
      () => {},
    );
  }
  await expect.poll(() => answers.length, { timeout: 60_000 }).toBe(21);
  expect(answers.filter((status) => status === 503)).toHaveLength(20);
  // It might be the owner's bearer, so it is not answered as if there were none.
  const reader = await RawClient.open(origin);
  many.push(reader);
  const block = `/ipfs/${cidOf("raw", Buffer.from("unknown"))}?format=raw`;
  expect(await reader.send(forged.replace("/v1/buckets", block)).answer()).toMatchObject({
    status: 503,
    headers: { "retry-after": "2" },
  });
  const honest = await RawClient.open(origin, "127.0.0.2");
  let status = 0;
  const served = honest.send(ask(await signToken(alice, now))).answer();
  void served.then((answer) => (status = answer.status));
  await expect.poll(() => manual.advance(10).then(() => status), { timeout: 60_000 }).toBe(200);
  for (const each of [honest, ...many]) each.close();
});

describe("strangers from one address", () => {
  test("wait after many requests, up to a limit, and clients of other addresses do not", async () => {
    const clock = new ManualClock();
    const pace = new RateLimits(clock);
    const { signal } = new AbortController();
    for (let times = 0; times < STRANGER_BURST; times++) await pace.take("192.0.2.1", signal);
    let answered = 0;
    for (let times = 0; times < 5_000; times++) void pace.take("::ffff:192.0.2.1", signal).then(() => answered++);
    await clock.advance(0);
    expect(answered).toBe(0);
    await pace.take("192.0.2.2", signal);
    await clock.advance(STRANGER_WAIT_MS);
    expect(answered).toBe(5_000);
  });

  test("do not hold up a valid bearer from the same address", async () => {
    const clock = new ManualClock();
    master = await startTestMaster({ clock });
    // One connection may not have that many waiting.
    const others: RawClient[] = [];
    for (const answered of [STRANGER_BURST / 2, STRANGER_BURST / 2, 0]) {
      const each = await RawClient.open(master.origin);
      others.push(each);
      each.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n".repeat(STRANGER_BURST / 2));
      for (let times = 0; times < answered; times++) expect((await each.answer()).status).toBe(200);
    }
    expect((await master.call("/v1/buckets")).status).toBe(200);
    expect((await master.call("/v1/buckets")).status).toBe(200);
    for (const each of others) each.close();
  });
});

describe("strangers at a master with public blocks", () => {
  const clock = new ManualClock();
  const bytes = Buffer.from("a public block");
  const cid = cidOf("raw", bytes);
  const unknown = Array.from({ length: STRANGER_BURST }, (_, index) => cidOf("raw", Buffer.from(`${index}`)));
  const asking = unknown.map((each) => `GET /ipfs/${each}?format=raw HTTP/1.1\r\nHost: x\r\n\r\n`);
  const half = STRANGER_BURST / 2;

  async function start() {
    const storage = await openFolderStorage({
      dir: await temporaryFolder(),
      clock,
      random: systemRandom,
      log: silentLog,
    });
    await (await storage.stores.of(alice.wallet)).put([{ cid, bytes }]);
    const owners = vi.spyOn(storage.stores, "owners");
    const opened = (master = await startTestMaster({ clock, storage, publicBlocks: true }));
    const ofAlice = async () => (await opened.call(`/ipfs/${cid}?format=raw`)).status;
    return { owners, ofAlice, open: () => RawClient.open(opened.origin) };
  }

  test("wait before owners are asked for unknown blocks, and owners do not wait for their own", async () => {
    const { owners, ofAlice, open } = await start();
    const others: RawClient[] = [];
    for (const [from, answered] of [
      [0, half],
      [half, half],
      [0, 0],
    ] as const) {
      const each = await open();
      others.push(each);
      each.send(asking.slice(from, from + half).join(""));
      for (let times = 0; times < answered; times++) expect((await each.answer()).status).toBe(404);
    }
    expect(await ofAlice()).toBe(200);
    expect(await ofAlice()).toBe(200);
    expect(owners).toHaveBeenCalledTimes(STRANGER_BURST);
    for (const each of others) each.close();
  });

  test("have one block at a time searched for among all owners", async () => {
    const { owners, ofAlice, open } = await start();
    const asked = Promise.withResolvers<Wallet[]>();
    owners.mockReturnValueOnce(asked.promise);
    const one = await open();
    one.send(asking.slice(0, 3).join(""));
    await expect.poll(() => owners.mock.calls.length).toBe(1);
    expect(await ofAlice()).toBe(200);
    expect(owners).toHaveBeenCalledTimes(1);
    asked.resolve([]);
    for (let times = 0; times < 3; times++) expect((await one.answer()).status).toBe(404);
    expect(owners).toHaveBeenCalledTimes(3);
    one.close();
  });

  test("get any owner's blocks, also with a bearer that is not valid", async () => {
    await start();
    const path = `${master?.origin}/ipfs/${cid}?format=raw`;
    for (const headers of [{}, { authorization: "Bearer noise" }]) {
      expect(await (await fetch(path, { headers })).text()).toBe("a public block");
    }
  });
});

test("metrics are served at their own address, and nothing else is", async () => {
  master = await startTestMaster();
  expect((await master.call("/metrics")).status).toBe(404);
  expect((await master.call("/metrics", {}, null)).status).toBe(404);
  expect(await master.metrics()).toMatch(/^syncline_connections \d+$/m);
  for (const path of ["/health", "/v1/buckets"])
    expect((await fetch(`${master.metricsOrigin}${path}`)).status).toBe(404);
});

test.each([true, false])("a master says whether it compares roots: %s", async (compareAndSwap) => {
  master = await startTestMaster({ compareAndSwap });
  const offers = (await (await master.call("/fula/capabilities", {}, null)).json()) as { rootCas: unknown };
  expect(offers.rootCas).toBe(compareAndSwap);
});
