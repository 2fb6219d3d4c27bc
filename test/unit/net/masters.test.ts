/** A master that is silent is asked for its health, and left if another one is healthy and it is not. */
import { expect, test } from "vitest";
import { SynclineError } from "../../../src/base/errors.ts";
import { MASTER_DOUBT_MS, MASTER_LEARN_MS, MASTER_NEXT_MS, MAX_MASTERS } from "../../../src/base/limits.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { maybeReceived, type Master, type MasterRequest } from "../../../src/net/master-connection.ts";
import { MasterHealth } from "../../../src/net/master-health.ts";
import { Masters } from "../../../src/net/masters.ts";
import { Unanswered } from "../../../src/net/unanswered.ts";
import { bytesAnswer } from "../../support/meddling-master.ts";
import { ManualClock } from "../../support/manual-clock.ts";

type State = "well" | "busy" | "failed" | "silent" | "refusing" | "denying" | "gone" | "lost";

const READ: MasterRequest = { method: "GET", path: "/root" };
const SWAP: MasterRequest = { method: "PUT", path: "/root", again: "if not received", silenceMs: 120_000 };
const WAIT: MasterRequest = { method: "POST", path: "/turn", again: "if not received" };
const never = new AbortController().signal;
const DENIED = "first refuses the token.";

test.each(["silent", "failed"] as const)("a call goes on at the other when the first is %s", async (state) => {
  const { masters, first, second, clock } = twoMasters(state);
  const call = masters.call(READ);
  await clock.advance(2 * MASTER_DOUBT_MS);
  await call;
  expect([first.calls, second.calls]).toEqual([1, 1]);
});

test.each([SWAP, WAIT])(
  "a call that must not run twice ends soon, as one that may have been received: $path",
  async (request) => {
    const { masters, second, clock } = twoMasters("silent");
    const call = masters.call(request).catch((error: unknown) => error);
    await clock.advance(2 * MASTER_DOUBT_MS);
    const error = await call;
    expect(error).toMatchObject({ code: "store_unreachable" });
    expect(maybeReceived(error)).toBe(true);
    expect(second.calls).toBe(0);
    await masters.call(request);
    expect(second.calls).toBe(1);
  },
);

test("one that was left is asked, too, when the last one is silent", async () => {
  const { masters, first, second, clock } = twoMasters("failed");
  const call = masters.call(READ);
  await clock.advance(2 * MASTER_DOUBT_MS);
  await call;
  [first.state, second.state] = ["well", "silent"];
  const next = masters.call(READ);
  await clock.advance(2 * MASTER_DOUBT_MS);
  await next;
  expect([first.calls, second.calls]).toEqual([2, 2]);
});

test("a call fails only if every master fails, including those that were left", async () => {
  const { masters, first, second } = twoMasters("refusing", "refusing");
  await expect(masters.call(READ)).rejects.toMatchObject({ code: "arbiter_unreachable" });
  await expect(masters.call(READ)).rejects.toMatchObject({ code: "arbiter_unreachable" });
  expect([first.calls, second.calls]).toEqual([2, 2]);
  for (const [gone, well] of [
    [first, second],
    [second, first],
  ] as const) {
    [gone.state, well.state] = ["gone", "well"];
    await masters.call(READ);
    await masters.call(READ);
  }
});

test("a master that is healthy may take long", async () => {
  const { masters, first, second, clock } = twoMasters("busy");
  const call = masters.call(SWAP);
  await clock.advance(4 * MASTER_DOUBT_MS);
  first.answer();
  await call;
  expect(first.checks).toBe(4);
  expect(second.calls).toBe(0);
});

test("a master that falls silent during a long call is left", async () => {
  const { masters, first, clock } = twoMasters("busy");
  const call = masters.call(SWAP).catch((error: unknown) => error);
  await clock.advance(3 * MASTER_DOUBT_MS);
  first.state = "silent";
  await clock.advance(2 * MASTER_DOUBT_MS);
  expect(await call).toMatchObject({ code: "store_unreachable" });
});

test("on a line on which all are silent nobody is left", async () => {
  const { masters, first, second, clock } = twoMasters("silent", "silent");
  const call = masters.call(WAIT);
  await clock.advance(5 * MASTER_DOUBT_MS);
  expect(masters.members().map(({ left }) => left)).toEqual([null, null]);
  first.answer();
  await call;
  expect(second.calls).toBe(0);
});

test("no check follows a call that was answered", async () => {
  const { masters, first, clock } = twoMasters("well");
  await masters.call(READ);
  await clock.advance(5 * MASTER_DOUBT_MS);
  expect(first.checks).toBe(0);
});

test("a call that one master refuses ends if the other is gone but still counts as healthy", async () => {
  const { masters, first, second } = twoMasters("well");
  await masters.call(READ);
  await masters.call(READ);
  await expect.poll(() => masters.members()[1]?.latencyMs).not.toBeNull();
  [first.state, second.state] = ["refusing", "gone"];
  await expect(masters.call(READ)).rejects.toMatchObject({ code: "arbiter_unreachable" });
  expect(first.calls).toBeLessThan(6);
});

test.each([READ, SWAP])("where one master does not admit us, a call goes on at the other: $method", async (request) => {
  const { masters, first, second } = twoMasters("denying");
  await masters.call(request);
  expect([first.calls, second.calls]).toEqual([1, 1]);
  await masters.call(request);
  expect([first.calls, second.calls]).toEqual([1, 2]);
});

test.each([
  ["no other admits us", SWAP, "denying", "bad_token"],
  // Who waits for it may be admitted there.
  ["the other is gone", READ, "gone", "store_unreachable"],
  ["the other was lost in a swap", SWAP, "lost", "store_unreachable"],
] as const)("a refusal is told if %s", async (_, request, state, code) => {
  const { masters } = twoMasters("denying", state);
  const error: unknown = await masters.call(request).catch((failure: unknown) => failure);
  expect(error).toMatchObject({ code, message: expect.stringContaining("refuses the token") });
  expect(maybeReceived(error)).toBe(true);
});

test("where one master does not admit us, a call waits for another that is slow to answer", async () => {
  const { masters, second, clock } = twoMasters("denying");
  second.capabilities = async () => {
    await clock.sleep(4 * MASTER_NEXT_MS);
    return { watch: true, turns: true, masters: false, maxBlock: 1, leaseMs: 1 };
  };
  const call = masters.call(READ);
  await clock.advance(5 * MASTER_NEXT_MS);
  await call;
  expect(second.calls).toBe(1);
});

test("a master that does not admit us stays left however healthy it is, until it does", async () => {
  const { masters, first, second, clock } = twoMasters("denying");
  await masters.call(READ);
  for (let minute = 0; minute < 10; minute++) {
    await masters.call(READ);
    await clock.advance(60_000);
    expect(masters.members()).toContainEqual(expect.objectContaining({ address: "first", left: DENIED }));
  }
  expect(second.calls).toBe(11);
  first.state = "well";
  await masters.call(READ);
  await clock.advance(60_000);
  expect(masters.members()).toContainEqual(expect.objectContaining({ address: "first", left: null }));
});

test("a master that was forgotten during a download gets a new connection when it is named again", async () => {
  const clock = new ManualClock();
  const connected: string[] = [];
  let named = ["http://a", "http://b"];
  const connect = (origin: string) => {
    connected.push(origin);
    const master = fakeMaster(origin, "well", clock);
    master.capabilities = async () => ({ watch: true, turns: true, masters: true, maxBlock: 1, leaseMs: 1 });
    master.call = async ({ path, left = never }) => ({
      ...bytesAnswer(Buffer.alloc(0)),
      json: async () => ({ masters: named }),
      read: () =>
        new Promise((_, reject) => {
          if (path === "/stream") left.addEventListener("abort", () => reject(left.reason as Error));
        }),
    });
    return master;
  };
  const masters = new Masters([connect("http://a")], clock, { random: systemRandom, connect });
  await masters.call(READ);
  await expect.poll(() => masters.members().length).toBe(2);
  (await masters.call(READ)).leave?.("for the other");
  const body = (await masters.call({ ...READ, path: "/stream" })).read(() => "more");
  (await masters.call(READ)).leave?.("and back");
  named = ["http://a"];
  await masters.call(READ);
  await clock.advance(MASTER_LEARN_MS + 1);
  await masters.call(READ);
  await expect(body).rejects.toMatchObject({ code: "store_unreachable" });
  await expect.poll(() => masters.members().map(({ address }) => address)).toEqual(["http://a"]);
  named = ["http://a", "http://b"];
  await clock.advance(MASTER_LEARN_MS + 1);
  await masters.call(READ);
  await expect.poll(() => masters.members().length).toBe(2);
  expect(connected).toEqual(["http://a", "http://b", "http://b"]);
});

test("a single master that does not admit us is not left", async () => {
  const master = fakeMaster("only", "denying", new ManualClock());
  const masters = new Masters([master], new ManualClock());
  await expect(masters.call(READ)).rejects.toMatchObject({ code: "bad_token" });
  expect(masters.members()).toMatchObject([{ left: null }]);
});

test("masters that are no longer named make room for those that are", async () => {
  const clock = new ManualClock();
  const made = new Map<string, FakeMaster>();
  const connect = (origin: string) => {
    const master = fakeMaster(origin, "well", clock);
    made.set(origin, master);
    return master;
  };
  const balancer = connect("http://balancer");
  balancer.capabilities = async () => ({ watch: true, turns: true, masters: true, maxBlock: 1, leaseMs: 1 });
  let named: string[] = [];
  balancer.call = async () => ({ ...bytesAnswer(Buffer.alloc(0)), json: async () => ({ masters: named }) });
  const masters = new Masters([balancer], clock, { random: systemRandom, connect });
  for (let generation = 0; generation < MAX_MASTERS; generation++) {
    named = [`http://a${generation}`, `http://b${generation}`];
    await masters.call(READ);
    await clock.advance(MASTER_LEARN_MS + 1);
  }
  expect(new Set(masters.members().map(({ address }) => address))).toEqual(new Set(["http://balancer", ...named]));
  // A master that names nobody says nothing of the others.
  named = [];
  await masters.call(READ);
  await clock.advance(MASTER_LEARN_MS + 1);
  expect(masters.members()).toHaveLength(3);
});

test("a start while the named master is away goes on at one that it named before", async () => {
  const clock = new ManualClock();
  const [first, second] = [fakeMaster("http://first", "gone", clock), fakeMaster("http://second", "well", clock)];
  const connect = (origin: string) => (origin === "http://second" ? second : fakeMaster(origin, "gone", clock));
  const before = ["ftp://third", "http://second", "http://second", "http://first", "not an origin"];
  const known = { read: () => before, note: () => {} };
  const masters = new Masters([first], clock, { random: systemRandom, connect, known });
  const call = masters.call(READ);
  await clock.advance(MASTER_NEXT_MS);
  await call;
  expect([second.calls, masters.members().map(({ address }) => address)]).toEqual([
    1,
    ["http://second", "http://first"],
  ]);
});

test("which masters there are is noted each time one names them", async () => {
  const clock = new ManualClock();
  const first = fakeMaster("http://first", "well", clock);
  first.capabilities = async () => ({ watch: true, turns: true, masters: true, maxBlock: 1, leaseMs: 1 });
  const names = { masters: ["http://first", "http://second"] };
  first.call = async () => ({ ...bytesAnswer(Buffer.alloc(0)), json: async () => names });
  const noted = Promise.withResolvers<readonly string[]>();
  const known = { read: () => [], note: noted.resolve };
  const connect = (origin: string) => fakeMaster(origin, "well", clock);
  await new Masters([first], clock, { random: systemRandom, connect, known }).call(READ);
  expect(await noted.promise).toEqual(names.masters);
});

test.each(["its root is stale", "first: The arbiter does not answer."])(
  "why a master was left is said once, also by the calls that ended because of it: %s",
  (why) => {
    const health = new MasterHealth(fakeMaster("first", "well", new ManualClock()));
    let lastReason: unknown = new Error(why);
    for (let times = 0; times < 3; times++) {
      const { signal } = health.inUse;
      health.leave(lastReason, 0, 1);
      lastReason = signal.reason;
      expect(health.report(false).left).toBe(why);
      expect(String(lastReason).match(/first/g)).toHaveLength(1);
    }
  },
);

function twoMasters(first: State, second: State = "well") {
  const clock = new ManualClock();
  const both = [fakeMaster("first", first, clock), fakeMaster("second", second, clock)] as const;
  return { masters: new Masters(both, clock), first: both[0], second: both[1], clock };
}

interface FakeMaster extends Master {
  state: State;
  calls: number;
  checks: number;
  /** Answers calls that wait. */
  answer(): void;
}

/** Answers calls at once when it is well, else when told. Its health check is passed unless it failed or is silent. */
function fakeMaster(address: string, state: State, clock: ManualClock): FakeMaster {
  const answered = Promise.withResolvers<void>();
  const master: FakeMaster = {
    address,
    state,
    calls: 0,
    checks: 0,
    answer: answered.resolve,
    async call({ path, silenceMs = 0, left = never }) {
      const isCheck = path === "/health";
      if (isCheck) master.checks++;
      else master.calls++;
      if (!isCheck && master.calls > 100) throw new Error("it is asked endlessly");
      if (!isCheck && master.state === "refusing")
        throw new SynclineError("arbiter_unreachable", `${address} refuses.`);
      if (path === "/api/v1/storage") master.calls--;
      if (!isCheck && master.state === "denying") throw new SynclineError("bad_token", `${address} refuses the token.`);
      if (!isCheck && master.state === "lost")
        throw new SynclineError("store_unreachable", `${address} is lost.`, { cause: new Unanswered(true, "") });
      if (master.state === "gone") throw new SynclineError("store_unreachable", `${address} is gone.`);
      if (isCheck && master.state === "silent") await clock.sleep(silenceMs);
      if (isCheck && (master.state === "silent" || master.state === "failed"))
        throw new SynclineError("store_unreachable", `${address} is ${master.state}.`);
      if (!isCheck && master.state !== "well") {
        const gone = Promise.withResolvers<never>();
        left.addEventListener("abort", () => gone.reject(left.reason));
        await Promise.race([answered.promise, gone.promise]);
      }
      return { ...bytesAnswer(Buffer.alloc(0)), json: async () => ({}) };
    },
    async capabilities() {
      if (master.state === "gone") throw new SynclineError("store_unreachable", `${address} is gone.`);
      return { watch: true, turns: true, masters: false, maxBlock: 1, leaseMs: 1 };
    },
    async [Symbol.asyncDispose]() {},
  };
  return master;
}
