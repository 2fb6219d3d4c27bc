import { expect, test } from "vitest";
import { FlushSchedule, type FlushEnd } from "../../../../src/agent/publishing/flush-schedule.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const DONE: FlushEnd = { again: false, afterMs: 0 };

function setUp(flush: () => Promise<FlushEnd> = async () => DONE) {
  const clock = new ManualClock();
  const starts: number[] = [];
  const schedule = new FlushSchedule(clock, () => {
    starts.push(clock.monotonicMs());
    return flush();
  });
  return { clock, starts, schedule };
}

test("a save that writes beside the file, syncs, closes and renames is one flush", async () => {
  const { clock, starts, schedule } = setUp();
  for (const reason of ["change", "write", "fsync", "close", "change"] as const) {
    schedule.note(reason);
    await clock.advance(5);
    expect(starts).toEqual([]);
  }
  await clock.advance(1_000);
  expect(starts).toEqual([35]);
});

test("what waits for no rename is urgent, and flushed at once", async () => {
  const { clock, starts, schedule } = setUp();
  schedule.note("close");
  schedule.note("urgent");
  await clock.advance(0);
  expect(starts).toEqual([0]);
});

test("plain writes are flushed a second after the last one", async () => {
  const { clock, starts, schedule } = setUp();
  schedule.note("write");
  await clock.advance(600);
  schedule.note("write");
  await clock.advance(5_000);
  expect(starts).toEqual([1_600]);
});

test("writes that never pause are flushed after five seconds", async () => {
  const { clock, starts, schedule } = setUp();
  for (let at = 0; at < 6_000; at += 500) {
    schedule.note("write");
    await clock.advance(500);
  }
  expect(starts[0]).toBe(5_000);
});

test("a large file that is being rewritten is not published before it is closed, as long as nothing else waits", async () => {
  const { clock, starts, schedule } = setUp();
  schedule.note("write");
  for (let at = 0; at < 20_000; at += 500) {
    await clock.advance(500);
    schedule.note("rewrite");
  }
  expect(starts).toEqual([]);
  schedule.note("close");
  await clock.advance(25);
  expect(starts).toEqual([20_025]);
});

test("a large file that is being rewritten is published five seconds after its last write, or after an fsync", async () => {
  const { clock, starts, schedule } = setUp();
  schedule.note("rewrite");
  await clock.advance(4_000);
  schedule.note("rewrite");
  await clock.advance(6_000);
  schedule.note("rewrite");
  schedule.note("fsync");
  await clock.advance(25);
  expect(starts).toEqual([9_000, 10_025]);
});

test("a program that rewrites a large file again and again is published once a minute", async () => {
  const { clock, starts, schedule } = setUp();
  for (let at = 0; at < 130_000; at += 500) {
    schedule.note(at % 20_000 < 3_000 ? "write" : "rewrite");
    await clock.advance(500);
  }
  expect(starts).toEqual([60_000, 120_000]);
});

test("a change beside a large file that is being rewritten waits five seconds, as usual", async () => {
  const { clock, starts, schedule } = setUp();
  for (let at = 0; at < 20_000; at += 500) {
    schedule.note(at < 10_000 ? "rewrite" : "write");
    await clock.advance(500);
  }
  expect(starts[0]).toBe(15_000);
});

test("writes without a close are published no sooner for arriving during a flush", async () => {
  const { clock, starts, schedule } = setUp(async () => {
    await clock.sleep(100);
    return DONE;
  });
  schedule.note("close");
  for (let at = 0; at < 12_000; at += 50) {
    await clock.advance(50);
    schedule.note("write");
  }
  expect(starts).toEqual([25, 5_050, 10_050]);
});

test("a write does not delay the flush that an fsync waits for", async () => {
  const { clock, starts, schedule } = setUp();
  schedule.note("fsync");
  await clock.advance(50);
  schedule.note("fsync");
  schedule.note("write");
  await clock.advance(260);
  expect(starts).toEqual([25, 275]);
});

test.each(["fsync", "close"] as const)(
  "a program that does not pause is flushed every five seconds: %s",
  async (reason) => {
    const { clock, starts, schedule } = setUp(async () => {
      await clock.sleep(20);
      return DONE;
    });
    for (let at = 0; at < 16_000; at += 10) {
      schedule.note(reason);
      await clock.advance(10);
    }
    expect(starts).toEqual([25, 5_025, 10_025, 15_025]);
  },
);

test("what a busy program wrote is flushed a fifth of a second after its last change", async () => {
  const { clock, starts, schedule } = setUp(async () => {
    await clock.sleep(20);
    return DONE;
  });
  schedule.note("close");
  await clock.advance(30);
  // Until it is flushed, a close is reported once, and changes every 100 ms.
  schedule.note("close");
  for (let at = 0; at < 1_000; at += 100) {
    await clock.advance(100);
    schedule.note(at % 200 === 0 ? "change" : "write");
  }
  await clock.advance(1_000);
  expect(starts).toEqual([25, 1_230]);
  schedule.note("close");
  await clock.advance(25);
  expect(starts).toEqual([25, 1_230, 2_055]);
});

test("a program that fsyncs, waits until others see it, and fsyncs again is not slowed down further", async () => {
  const { clock, starts, schedule } = setUp(async () => {
    await clock.sleep(120);
    return DONE;
  });
  for (let round = 0; round < 40; round++) {
    schedule.note("fsync");
    const before = starts.length;
    while (starts.length === before) await clock.advance(10);
    await clock.advance(80);
  }
  const gaps = starts.slice(1).map((at, index) => at - (starts[index] ?? 0));
  expect(Math.max(...gaps)).toBeLessThanOrEqual(260);
});

test("a change without a close is flushed after a fifth of a second without changes, or after six tenths", async () => {
  const { clock, starts, schedule } = setUp();
  schedule.note("change");
  await clock.advance(100);
  schedule.note("change");
  await clock.advance(2_000);
  for (let at = 0; at < 700; at += 100) {
    schedule.note("change");
    await clock.advance(100);
  }
  expect(starts).toEqual([300, 2_700]);
});

test("a change does not wait for a pause in the writes that follow it", async () => {
  const { clock, starts, schedule } = setUp();
  schedule.note("change");
  for (let at = 0; at < 1_000; at += 100) {
    await clock.advance(100);
    schedule.note("write");
  }
  expect(starts).toEqual([600]);
});

test("constant changes are flushed after six tenths of a second, then every five seconds", async () => {
  const { clock, starts, schedule } = setUp(async () => {
    await clock.sleep(20);
    return DONE;
  });
  for (let at = 0; at < 60_000; at += 10) {
    schedule.note("change");
    await clock.advance(10);
  }
  expect(starts.slice(0, 4)).toEqual([600, 5_600, 10_600, 15_600]);
});

test("a change during a flush goes into the next one", async () => {
  let finish = (_end: FlushEnd): void => {};
  const { clock, starts, schedule } = setUp(() => new Promise((resolve) => (finish = resolve)));
  schedule.note("close");
  await clock.advance(100);
  schedule.note("close");
  await clock.advance(1_000);
  expect(starts).toEqual([25]);
  finish(DONE);
  await clock.advance(1_000);
  expect(starts).toHaveLength(2);
});

test("a flush that could not publish is retried", async () => {
  const ends = [{ again: true, afterMs: 3_000 }, DONE];
  const { clock, starts, schedule } = setUp(async () => ends.shift() ?? DONE);
  schedule.note("close");
  await clock.advance(10_000);
  expect(starts).toEqual([25, 3_025]);
});

test("flushNow waits for the running flush and then runs its own", async () => {
  const { clock, starts, schedule } = setUp(async () => {
    await clock.sleep(100);
    return DONE;
  });
  schedule.note("close");
  await clock.advance(60);
  const done = schedule.flushNow();
  await clock.advance(1_000);
  await done;
  expect(starts).toHaveLength(2);
});

test("callers during a flush share the next one, and none settles for the running one", async () => {
  const { clock, starts, schedule } = setUp(() => clock.sleep(100).then(() => DONE));
  const first = schedule.flushNow();
  await clock.advance(10);
  const done: number[] = [];
  const waiting = [1, 2, 3].map(() => schedule.flushNow().then(() => done.push(clock.monotonicMs())));
  await clock.advance(140);
  expect(done).toEqual([]);
  await clock.advance(100);
  await Promise.all([first, ...waiting]);
  expect(starts).toEqual([0, 100]);
  expect(done).toEqual([200, 200, 200]);
  const again = schedule.flushNow();
  await clock.advance(100);
  await again;
  expect(starts).toHaveLength(3);
});
