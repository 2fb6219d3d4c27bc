import { MessageChannel } from "node:worker_threads";
import { describe, expect, onTestFinished, test } from "vitest";
import { answerCalls, createCaller } from "../../../../src/agent/threads/rpc.ts";
import { SynclineError } from "../../../../src/base/errors.ts";

type Sums = {
  add(terms: { a: number; b: bigint }): Promise<Map<string, bigint>>;
  fail(nothing: undefined): void;
  crash(nothing: undefined): Promise<void>;
  wait(nothing: undefined): Promise<void>;
  missing(nothing: undefined): void;
};

function pair() {
  const { port1, port2 } = new MessageChannel();
  onTestFinished(() => port1.close());
  answerCalls<Omit<Sums, "missing">>(port2, {
    add: async ({ a, b }) => new Map([["sum", BigInt(a) + b]]),
    fail: () => {
      throw new SynclineError("disk_full", "No space.", { hint: "Make some." });
    },
    crash: () => Promise.reject(new TypeError("of undefined")),
    wait: () => new Promise(() => {}),
  });
  return createCaller<Sums>(port1);
}

describe("calls between threads", () => {
  test("carry structured values in both directions", async () => {
    const { call } = pair();
    expect(await Promise.all([call("add", { a: 1, b: 2n }), call("add", { a: 3, b: 4n })])).toEqual([
      new Map([["sum", 3n]]),
      new Map([["sum", 7n]]),
    ]);
  });

  test("fail with the code and hint of the other side, and a defect with its stack", async () => {
    const { call } = pair();
    await expect(call("fail", undefined)).rejects.toMatchObject({
      code: "disk_full",
      message: "No space.",
      hint: "Make some.",
    });
    await expect(call("crash", undefined)).rejects.toMatchObject({
      code: "internal",
      message: expect.stringMatching(/TypeError: of undefined\n {4}at /) as string,
    });
    await expect(call("missing", undefined)).rejects.toMatchObject({ code: "internal" });
  });

  test("are rejected at once if an argument cannot be cloned", async () => {
    const { call } = pair();
    await expect(call("add", { a: 1, b: (() => 1n) as unknown as bigint })).rejects.toThrow(/could not be cloned/);
    expect(await call("add", { a: 1, b: 1n })).toEqual(new Map([["sum", 2n]]));
  });

  test("are rejected when the caller stops, open ones and later ones", async () => {
    const { call, stop } = pair();
    const open = call("wait", undefined).catch((error) => error as unknown);
    stop(new SynclineError("no_agent", "It ended."));
    expect(await open).toMatchObject({ code: "no_agent" });
    await expect(call("add", { a: 1, b: 1n })).rejects.toMatchObject({ code: "no_agent" });
  });
});
