/** A command waits for a master that does not answer: as long as it may, and never so that something takes place twice. */
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock, type Clock } from "../../../src/base/clock.ts";
import { SynclineError } from "../../../src/base/errors.ts";
import { SilenceError, Unanswered } from "../../../src/net/unanswered.ts";
import {
  type Master,
  type MasterAnswer,
  MasterConnection,
  type MasterRequest,
} from "../../../src/net/master-connection.ts";
import { PatientMaster } from "../../../src/net/patient-master.ts";
import type { Random } from "../../../src/base/random.ts";
import { HttpRootStore } from "../../../src/roots/http-root-store.ts";
import { raw } from "../../support/opaque-commits.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { json, scriptedServer } from "../../support/scripted-server.ts";

const READ: MasterRequest = { method: "GET", path: "/root" };
const SWAP: MasterRequest = { method: "PUT", path: "/root", again: "if not received" };
const refused = () => away(false, "connect ECONNREFUSED");
const cutOff = () => away(true, "other side closed");

describe("a call", () => {
  test("is repeated until it is answered, and the reason for waiting is reported once", async () => {
    const { master, calls, told } = world(refused, cutOff, refused);
    expect((await master.call(READ)).status).toBe(200);
    expect(calls).toHaveLength(4);
    expect(told).toEqual(["http://master does not answer: connect ECONNREFUSED."]);
  });

  test("is given up after the allowed time without an answer", async () => {
    const { master, clock } = world(...Array.from({ length: 100 }, () => refused));
    await expect(master.call(READ)).rejects.toMatchObject({ code: "store_unreachable" });
    expect(clock.monotonicMs()).toBe(10_000);
    await expect(master.call(READ)).rejects.toMatchObject({ code: "store_unreachable" });
    expect(clock.monotonicMs(), "others that fail meanwhile wait no longer").toBe(10_000);
  });

  test("is not repeated if the master was silent for that time, unless another call was answered meanwhile", async () => {
    const silent = () => unreachable(new Unanswered(true, new SilenceError(10_000)));
    const { master, calls, told } = world(silent);
    await expect(master.call(READ)).rejects.toMatchObject({ code: "store_unreachable" });
    expect(calls).toHaveLength(1);
    expect(told).toEqual([]);
    await master.call(READ);
    const other = world(undefined, silent);
    await other.master.call(READ);
    await other.master.call(READ);
    expect(other.calls).toHaveLength(3);
  });

  test("that was given up is not repeated by the work that made it", async () => {
    const { master, clock } = world(...Array.from({ length: 100 }, () => refused));
    const wrapped = master.call(READ).catch((cause: unknown) => {
      throw new SynclineError("arbiter_unreachable", "No root.", { cause });
    });
    await expect(master.patiently(() => wrapped)).rejects.toMatchObject({ code: "arbiter_unreachable" });
    expect(clock.monotonicMs()).toBe(10_000);
  });

  test("gets the full time again once the master has answered", async () => {
    const { master, told, clock } = world(refused, refused, refused, undefined, refused, refused, refused);
    await master.call(READ);
    const sinceMs = clock.monotonicMs();
    await master.call(READ);
    expect(clock.monotonicMs() - sinceMs).toBeGreaterThan(1_000);
    expect(told).toHaveLength(2);
  });

  test("that must take place only once is repeated only if nothing of it was received", async () => {
    const { master, calls } = world(refused, refused, cutOff);
    await expect(master.call(SWAP)).rejects.toMatchObject({ code: "store_unreachable" });
    expect(calls).toHaveLength(3);
  });

  test("that nobody waits for is not repeated", async () => {
    const { master, calls } = world(refused);
    await expect(master.call({ ...READ, again: "never" })).rejects.toMatchObject({ code: "store_unreachable" });
    expect(calls).toHaveLength(1);
  });

  test("is not repeated for errors that waiting cannot fix", async () => {
    const untrusted = away(false, "self-signed certificate", "DEPTH_ZERO_SELF_SIGNED_CERT");
    for (const error of [untrusted, new SynclineError("wallet_not_allowed", "No.")]) {
      const { master, calls } = world(() => error);
      await expect(master.call(READ)).rejects.toBe(error);
      expect(calls).toHaveLength(1);
    }
  });

  test("ends with its last error once nobody wants its answer", async () => {
    const { patient, clock } = world(refused, refused);
    const master = patient(clock);
    const call = master.call(READ);
    await Promise.all([
      expect(call).rejects.toMatchObject({ code: "store_unreachable" }),
      clock.advance(0).then(() => master[Symbol.asyncDispose]()),
    ]);
    expect(clock.monotonicMs()).toBe(0);
  });

  test("whose answer breaks off within its JSON is repeated", async () => {
    const { master, calls, breakOff } = world();
    breakOff(1);
    const answer = await master.call(READ);
    expect(await answer.json()).toEqual({ root: "r" });
    expect(calls).toHaveLength(2);
  });

  test("whose answer always breaks off is given up after the allowed time, and pauses in between", async () => {
    const { master, calls, clock, breakOff } = world();
    breakOff(Infinity);
    const answer = await master.call(READ);
    await expect(answer.json()).rejects.toMatchObject({ code: "store_unreachable" });
    expect(clock.monotonicMs()).toBe(10_000);
    expect(calls.length).toBeLessThan(30);
  });
});

describe("a master that cannot reach its arbiter", () => {
  const name = { owner: "", bucket: "b" };
  const root = { commit: raw("root").cid, version: 2 };
  const told = { root: root.commit, version: root.version };

  test("is asked for the root until it is not stale", async () => {
    const { roots, server } = await scripted((answered) => [200, { ...told, stale: answered < 3 }]);
    expect(await roots.get(name)).toEqual(root);
    expect(server.seen).toHaveLength(4);
  });

  test("is sent a swap again while it says that nothing has changed", async () => {
    const refusal = { code: "arbiter_unreachable", outcome: "unchanged" };
    const { roots, server } = await scripted((answered) => (answered < 3 ? [503, refusal] : [200, told]));
    expect(await roots.swap(name, undefined, root.commit)).toEqual({ kind: "committed", root });
    expect(server.seen).toHaveLength(4);
  });

  test("is not sent a swap again whose outcome is unknown", async () => {
    const { roots, server } = await scripted(() => [503, { code: "arbiter_unreachable", outcome: "unknown" }]);
    expect(await roots.swap(name, undefined, root.commit)).toMatchObject({ kind: "unknown" });
    expect(server.seen).toHaveLength(1);
  });

  test("is waited for only as long as calls wait, though it answers", async () => {
    const { roots, server } = await scripted(() => [200, { ...told, stale: true }]);
    await expect(roots.get(name)).rejects.toMatchObject({ code: "arbiter_unreachable" });
    expect(server.seen.length).toBeGreaterThan(3);
  });

  async function scripted(answer: (answered: number) => [status: number, value: unknown]) {
    const server = await scriptedServer();
    let answered = 0;
    server.answer = (_, response) => json(response, ...answer(answered++));
    const bearer = { token: async () => "token", refused: () => {} };
    const connection = new MasterConnection(server.origin, { bearer, clock: systemClock });
    onTestFinished(() => connection[Symbol.asyncDispose]());
    const { clock, random } = passingTime();
    const patient = new PatientMaster(connection, { ms: 10_000, waiting: () => {}, clock, random });
    return { roots: new HttpRootStore(patient), server };
  }
});

/** A master that fails as these say, one call after the other, then answers; and one that waits ten seconds for it. */
function world(...failures: ((() => Error) | undefined)[]) {
  const { manual: clock, clock: passing, random } = passingTime();
  const calls: MasterRequest[] = [];
  const told: string[] = [];
  let broken = 0;
  const json = async () => {
    if (broken-- > 0) throw cutOff();
    return { root: "r" };
  };
  const inner = {
    address: "http://master",
    async call(request: MasterRequest): Promise<MasterAnswer> {
      calls.push(request);
      const failure = failures.shift();
      if (failure !== undefined) throw failure();
      return { status: 200, headers: {}, body: (async function* () {})(), read: async () => {}, json };
    },
    capabilities: () => Promise.reject(new Error("not asked")),
    [Symbol.asyncDispose]: async () => {},
  } satisfies Master;
  const waiting = ({ message }: Error) => void told.push(message);
  const patient = (time: Clock) => new PatientMaster(inner, { ms: 10_000, waiting, clock: time, random });
  return { master: patient(passing), patient, calls, told, clock, breakOff: (times: number) => (broken = times) };
}

/** A clock on which every sleep is over at once. */
function passingTime() {
  const manual = new ManualClock();
  const clock: Clock = {
    nowNs: () => manual.nowNs(),
    monotonicMs: () => manual.monotonicMs(),
    sleep: (ms) => manual.advance(ms),
    after: (ms, action) => manual.after(ms, action),
  };
  const random: Random = { bytes: (length) => new Uint8Array(length), fraction: () => 0.5 };
  return { manual, clock, random };
}

function away(sent: boolean, why: string, code?: string): SynclineError {
  return unreachable(new Unanswered(sent, Object.assign(new Error(why), code === undefined ? {} : { code })));
}

function unreachable(cause: Unanswered): SynclineError {
  return new SynclineError("store_unreachable", `http://master does not answer: ${cause.message}.`, { cause });
}
