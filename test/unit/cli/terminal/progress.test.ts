/** What long work says on stderr. */
import { expect, test } from "vitest";
import { createProgress } from "../../../../src/cli/terminal/progress.ts";
import { ProgressRate } from "../../../../src/cli/terminal/progress-rate.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const look = (hidden = false) => ({ label: "put", total: undefined, hidden });

test("piped, progress prints a line every ten seconds in which something moved", async () => {
  const clock = new ManualClock();
  const runtime = { ...createFakeRuntime({}), clock };
  using progress = createProgress(runtime, look());
  progress.update({ files: 1 }, { files: 100 });
  await clock.advance(9_999);
  expect(runtime.err()).toBe("");
  await clock.advance(1);
  expect(runtime.err()).toMatch(/^put {4}1% {2}.*1 of 100 files.*\n$/);
  await clock.advance(30_000);
  expect(runtime.err().split("\n")).toHaveLength(2);
  progress.update({ files: 50 });
  await clock.advance(10_000);
  expect(runtime.err().split("\n")[1]).toMatch(/50% .*50 of 100 files/);
});

test("work that blocks timers prints its lines, too", () => {
  let nowMs = 0;
  const clock = { ...new ManualClock(), monotonicMs: () => nowMs, after: () => ({ [Symbol.dispose]: () => {} }) };
  const runtime = createFakeRuntime({});
  using progress = createProgress({ stderr: runtime.stderr, clock: clock as unknown as ManualClock }, look());
  for (; nowMs <= 20_000; nowMs += 100) progress.update({ files: nowMs });
  expect(runtime.err().trimEnd().split("\n")).toHaveLength(2);
});

test("with --json no progress is printed", async () => {
  const clock = new ManualClock();
  const runtime = { ...createFakeRuntime({}), clock };
  using progress = createProgress(runtime, look(true));
  progress.update({ files: 1 });
  await clock.advance(60_000);
  expect(runtime.err()).toBe("");
});

test("on a terminal progress is one line, redrawn and cleared at the end", () => {
  const runtime = createFakeRuntime({}, { terminal: true });
  {
    using progress = createProgress(runtime, look());
    progress.update({ files: 1, bytes: 2048 });
  }
  expect(runtime.err()).toBe("\rput  1 file  2.00 KiB\u001b[K\r\u001b[K");
});

test("piped, a long step prints a line every ten seconds, until something is counted", async () => {
  const clock = new ManualClock();
  const runtime = { ...createFakeRuntime({}), clock };
  using progress = createProgress(runtime, { ...look(), label: "start" });
  progress.step("opening the bucket");
  await clock.advance(20_000);
  expect(runtime.err()).toBe("start  opening the bucket  for 10.0 s\nstart  opening the bucket  for 20.0 s\n");
  progress.update({ files: 1 });
  await clock.advance(20_000);
  expect(runtime.err().split("\n").slice(2)).toEqual([expect.stringMatching(/^start {2}1 file/), ""]);
});

test("on a terminal a long step is redrawn every second and cleared at the end; a short one is never shown", async () => {
  const clock = new ManualClock();
  const runtime = { ...createFakeRuntime({}, { terminal: true }), clock };
  {
    using progress = createProgress(runtime, { ...look(), label: "start" });
    {
      using _step = progress.step("short");
      await clock.advance(999);
    }
    await clock.advance(5_000);
    expect(runtime.err()).toBe("");
    progress.step("long");
    await clock.advance(2_000);
  }
  await clock.advance(5_000);
  expect(runtime.err()).toBe("\rstart  long  for 1.0 s\u001b[K\rstart  long  for 2.0 s\u001b[K\r\u001b[K");
});

test("a known total of blocks gives a percentage and the time left", async () => {
  const clock = new ManualClock();
  const runtime = { ...createFakeRuntime({}), clock };
  using progress = createProgress(runtime, look());
  await clock.advance(5_000);
  progress.update({ blocks: 100, bytes: 1024 }, { blocks: 400 });
  await clock.advance(5_000);
  expect(runtime.err()).toBe("put   25%  15.0 s left  100 of 400 blocks  1.00 KiB  20 blocks/s  205 B/s\n");
});

test("the time left follows recent speed, not the average of the run", () => {
  const rate = new ProgressRate(0);
  for (let s = 1; s <= 60; s++) rate.note(s * 1000, { files: s });
  expect(rate.leftMs({ files: 60 }, { files: 160 })).toBeCloseTo(100_000, -3);
  for (let s = 61; s <= 90; s++) rate.note(s * 1000, { files: 60 + (s - 60) * 100 });
  expect(rate.leftMs({ files: 3060 }, { files: 4060 })).toBeCloseTo(10_000, -3);
});

test("without movement there is no time left and no rate", () => {
  const rate = new ProgressRate(0);
  rate.note(500, { bytes: 5 });
  expect(rate.leftMs({ bytes: 5 }, { bytes: 10 })).toBeUndefined();
  for (let s = 1; s <= 60; s++) rate.note(s * 1000, { bytes: 5 });
  expect(rate.leftMs({ bytes: 5 }, { bytes: 10 })).toBeUndefined();
  expect(rate.perSecond().bytes).toBeUndefined();
});
