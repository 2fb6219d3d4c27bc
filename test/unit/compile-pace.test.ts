/** When V8 optimises an agent's code: soon while programs ask for much, late else. */
import { expect, test } from "vitest";
import { CompilePace, LATE, SOON } from "../../src/agent/compile-pace.ts";
import { ManualClock } from "../support/manual-clock.ts";

function pace(): { clock: ManualClock; pace: CompilePace; set: number[] } {
  const clock = new ManualClock();
  const set: number[] = [];
  return { clock, pace: new CompilePace(clock, (bytes) => set.push(bytes)), set };
}

test("a few requests leave it late", async () => {
  const { clock, pace: some, set } = pace();
  some.served(255);
  await clock.advance(10_000);
  expect(set).toEqual([]);
});

test("many requests make it soon, once, and two seconds behind the last of them it is late again", async () => {
  const { clock, pace: some, set } = pace();
  for (let request = 0; request < 10_000; request++) some.served(1);
  expect(set).toEqual([SOON]);
  await clock.advance(1_900);
  some.served(1_000);
  await clock.advance(1_900);
  expect(set).toEqual([SOON]);
  await clock.advance(200);
  expect(set).toEqual([SOON, LATE]);
});

test("after a rest many requests make it soon again", async () => {
  const { clock, pace: some, set } = pace();
  for (let burst = 0; burst < 2; burst++) {
    some.served(300);
    await clock.advance(3_000);
  }
  expect(set).toEqual([SOON, LATE, SOON, LATE]);
});

test("nothing is set once it is disposed", async () => {
  const { clock, pace: some, set } = pace();
  some.served(300);
  some[Symbol.dispose]();
  await clock.advance(10_000);
  expect(set).toEqual([SOON]);
});
