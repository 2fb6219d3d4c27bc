/** The bound on bytes a second. */
import { expect, test } from "vitest";
import { RateLimit } from "../../../src/base/rate-limit.ts";
import { ManualClock } from "../../support/manual-clock.ts";

test("a taker waits until the rate has paid for its bytes, and idle time saves up only a moment's worth", async () => {
  const clock = new ManualClock();
  const limit = new RateLimit(clock, 1_000);
  let done = 0;
  const take = (bytes: number) => void limit.take(bytes).then(() => done++);
  take(2_000);
  take(1_000);
  await clock.advance(1_800);
  expect(done).toBe(0);
  await clock.advance(300);
  expect(done).toBe(1);
  await clock.advance(1_000);
  expect(done).toBe(2);
  await clock.advance(3_600_000);
  take(1_000);
  await clock.advance(800);
  expect(done).toBe(2);
  await clock.advance(300);
  expect(done).toBe(3);
});
