import { describe, expect, test } from "vitest";
import { drain, type Drained } from "../../../../src/agent/publishing/drain.ts";
import type { FlushReport } from "../../../../src/agent/reports.ts";
import type { ErrorCode } from "../../../../src/base/errors.ts";
import { Timeline } from "../../../../src/simulate/timeline.ts";

const reportOf = (files: number, code?: ErrorCode): FlushReport => ({
  published: files === 0 && code === undefined,
  root: null,
  version: null,
  attempts: 0,
  conflicts: 0,
  pending: { files, bytes: 0, oldestMs: 0, etaMs: null },
  error: code === undefined ? null : { code, message: `${code}.`, hint: null },
});

/** Drains for 60 s at most; `flush` says how each attempt ends. */
async function drained(flush: (clock: Timeline, attempt: number) => Promise<FlushReport>, signal?: AbortSignal) {
  const clock = new Timeline();
  let attempts = 0;
  const last = { now: reportOf(9, "time_out") };
  const work: Promise<Drained> = drain({
    flush: async () => (last.now = await flush(clock, ++attempts)),
    report: async () => last.now,
    clock,
    endMs: 60_000,
    signal: signal ?? new AbortController().signal,
  });
  const { pending, error } = await clock.run(work);
  return { files: pending.files, code: error?.code, attempts, tookMs: clock.monotonicMs() };
}

describe("draining", () => {
  test("ends with the first flush that leaves nothing pending", async () => {
    expect(await drained(async () => reportOf(0))).toMatchObject({ files: 0, attempts: 1, tookMs: 0 });
    expect(await drained(async (_, attempt) => reportOf(3 - attempt))).toMatchObject({ files: 0, attempts: 3 });
  });

  test.each(["store_unreachable", "no_such_bucket", "bucket_locked", "disk_full", "root_moved"] as const)(
    "retries on %s, less and less often, until its time is up",
    async (code) => {
      const { attempts, tookMs, ...rest } = await drained(async () => reportOf(1, code));
      expect(rest).toEqual({ files: 1, code });
      expect(attempts).toBeGreaterThan(50);
      expect(attempts).toBeLessThan(70);
      expect(tookMs).toBeGreaterThan(58_000);
      expect(tookMs).toBeLessThanOrEqual(60_000);
    },
  );

  test.each([
    "root_rolled_back",
    "foreign_bucket",
    "device_not_certified",
    "feature_unknown",
    "bad_signature",
  ] as const)("does not retry on %s, which waiting cannot fix", async (code) => {
    expect(await drained(async () => reportOf(1, code))).toEqual({ files: 1, code, attempts: 1, tookMs: 0 });
  });

  test("publishes when the bucket comes back in time", async () => {
    const flush = async (clock: Timeline) =>
      clock.monotonicMs() < 20_000 ? reportOf(1, "store_unreachable") : reportOf(0);
    expect(await drained(flush)).toMatchObject({ files: 0, code: undefined });
  });

  test("does not wait for a flush that hangs past the deadline, and reports the last known state", async () => {
    const hangs = () => new Promise<FlushReport>(() => {});
    expect(await drained(hangs)).toMatchObject({ files: 9, code: "time_out", attempts: 1, tookMs: 60_000 });
  });

  test("ends at once when told to hurry, during a pause or a flush", async () => {
    const inPause = new AbortController();
    const paused = await drained(async (_, attempt) => {
      if (attempt === 3) inPause.abort();
      return reportOf(1, "store_unreachable");
    }, inPause.signal);
    expect(paused).toMatchObject({ files: 1, code: "store_unreachable", attempts: 3 });
    const inFlush = new AbortController();
    const flushing = await drained((clock) => {
      clock.after(5, () => inFlush.abort());
      return new Promise(() => {});
    }, inFlush.signal);
    expect(flushing).toMatchObject({ attempts: 1, tookMs: 5 });
  });
});
