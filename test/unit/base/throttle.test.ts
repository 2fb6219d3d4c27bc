import { expect, test } from "vitest";
import { Throttle } from "../../../src/base/throttle.ts";
import { ManualClock } from "../../support/manual-clock.ts";

function throttled(spacingMs: number | (() => number) = 100) {
  const clock = new ManualClock();
  const made: number[] = [];
  return { clock, made, calls: new Throttle(clock, spacingMs, () => void made.push(clock.monotonicMs())) };
}

test("isolated calls run at once", async () => {
  const { clock, made, calls } = throttled();
  for (let call = 0; call < 3; call++) {
    calls.call();
    await clock.advance(300);
  }
  expect(made).toEqual([0, 300, 600]);
});

test("a burst of calls runs as often as allowed, including the last call", async () => {
  const { clock, made, calls } = throttled();
  for (let call = 0; call <= 40; call++) {
    calls.call();
    await clock.advance(10);
  }
  await clock.advance(1_000);
  expect(made).toEqual([0, 10, 110, 210, 310, 410]);
});

test("the spacing is looked up for each call, and may change at any time", async () => {
  let spacingMs = 400;
  const { clock, made, calls } = throttled(() => spacingMs);
  for (let call = 0; call < 150; call++) {
    calls.call();
    await clock.advance(10);
    if (clock.monotonicMs() === 900) spacingMs = 100;
  }
  await clock.advance(1_000);
  expect(made).toEqual([0, 10, 410, 810, 1_210, 1_210, 1_310, 1_410, 1_510]);
});

test("nothing is called after disposal", async () => {
  const { clock, made, calls } = throttled();
  for (let call = 0; call < 5; call++) calls.call();
  calls[Symbol.dispose]();
  await clock.advance(1_000);
  expect(made).toEqual([0, 0]);
});
