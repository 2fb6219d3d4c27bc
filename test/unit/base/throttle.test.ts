import { expect, test } from "vitest";
import { Throttle } from "../../../src/base/throttle.ts";
import { ManualClock } from "../../support/manual-clock.ts";

function throttled(spacingMs: number | (() => number) = 100) {
  const clock = new ManualClock();
  const made: number[] = [];
  return { clock, made, calls: new Throttle(clock, spacingMs, () => void made.push(clock.monotonicMs())) };
}

test("calls that come alone are made at once", async () => {
  const { clock, made, calls } = throttled();
  for (let call = 0; call < 3; call++) {
    calls.call();
    await clock.advance(300);
  }
  expect(made).toEqual([0, 300, 600]);
});

test("many calls in a row are made as often as is allowed, and the last of them is made, too", async () => {
  const { clock, made, calls } = throttled();
  for (let call = 0; call <= 40; call++) {
    calls.call();
    await clock.advance(10);
  }
  await clock.advance(1_000);
  expect(made).toEqual([0, 10, 110, 210, 310, 410]);
});

test("how often is asked for each call, also where that is rarer than what comes alone otherwise", async () => {
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

test("nothing is called any more once it is disposed", async () => {
  const { clock, made, calls } = throttled();
  for (let call = 0; call < 5; call++) calls.call();
  calls[Symbol.dispose]();
  await clock.advance(1_000);
  expect(made).toEqual([0, 0]);
});
