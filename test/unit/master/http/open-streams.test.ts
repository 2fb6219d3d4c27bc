/** Endless answers end with their bearer. */
import { expect, test } from "vitest";
import { OpenStreams } from "../../../../src/master/http/open-streams.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { alice } from "../../../support/test-master.ts";

const DAY_S = 24 * 60 * 60;

test.each([1, 24, 25, 100])("an answer ends when its token expires, in %d days", async (days) => {
  const clock = new ManualClock();
  const streams = new OpenStreams(clock);
  const exp = Number(clock.nowNs() / 1_000_000_000n) + days * DAY_S;
  let ended = 0;
  const cancel = streams.register({ wallet: alice.wallet, text: "", digest: "", exp }, () => ended++);
  await clock.advance(days * DAY_S * 1000 - 1);
  expect(ended).toBe(0);
  await clock.advance(1);
  expect(ended).toBe(1);
  cancel();
  expect(clock.count).toBe(0);
});

test("an answer that is over leaves no timer behind, however long its token is valid", async () => {
  const clock = new ManualClock();
  const streams = new OpenStreams(clock);
  const bearer = { wallet: alice.wallet, text: "", digest: "", exp: 1e300 };
  const cancel = streams.register(bearer, () => expect.unreachable());
  await clock.advance(30 * DAY_S * 1000);
  cancel();
  expect(clock.count).toBe(0);
});
