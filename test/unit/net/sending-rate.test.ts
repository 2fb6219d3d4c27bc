/** How long a body may be on its way, on lines of several speeds. */
import { expect, test } from "vitest";
import { SendingRate } from "../../../src/net/sending-rate.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const MiB = 1024 * 1024;
const SILENCE_MS = 10_000;

function world() {
  const clock = new ManualClock();
  const rate = new SendingRate(clock);
  /** A body that is answered, or fails, after `ms`. Answers how long it might have taken. */
  const send = async (length: number, ms: number, fails = false) => {
    let given = -1;
    const sent = rate.timed(length, SILENCE_MS, async (aheadMs) => {
      given = aheadMs;
      await clock.advance(ms);
      if (fails) throw new Error("nothing moved");
    });
    await sent.catch(() => {});
    return given;
  };
  return { send };
}

test("after failures in silence, a line of 128 kbit/s gets the time that it needs", async () => {
  const { send } = world();
  const givenMs = [];
  for (let attempt = 0; attempt < 4; attempt++) givenMs.push(await send(4 * MiB, 30_000, true));
  expect(givenMs).toEqual([8_000, 64_000, 256_000, 256_000]);
});

test("what gets through tells the rate, of slow lines and of those that are fast again", async () => {
  const { send } = world();
  for (let attempt = 0; attempt < 3; attempt++) await send(4 * MiB, 30_000, true);
  await send(4 * MiB, 64_000);
  expect(await send(4 * MiB, 100)).toBe(128_000);
  expect(await send(4 * MiB, 100)).toBe(8_000);
});

test("short bodies, and what fails at once, tell nothing", async () => {
  const { send } = world();
  await send(1_000, 9_000);
  await send(4 * MiB, 9_999, true);
  await send(0, 30_000, true);
  expect(await send(4 * MiB, 100)).toBe(8_000);
});
