/** Trouble that lasts does not fill the log. */
import { expect, test } from "vitest";
import { LastingTrouble } from "../../../src/base/lasting-trouble.ts";
import { ManualClock } from "../../support/manual-clock.ts";

test("a failure each second is told at once, every ten minutes, and when it is over", async () => {
  const clock = new ManualClock();
  const told: string[] = [];
  const log = {
    info: () => {},
    warn: (what: string, fields: unknown) => void told.push(`${what} ${JSON.stringify(fields)}`),
    error: () => {},
  };
  const trouble = new LastingTrouble("cannot watch", clock, log);
  trouble.succeeded();
  for (let second = 0; second <= 1_200; second++) {
    trouble.failed(new Error(`away ${second}`));
    await clock.advance(1_000);
  }
  trouble.succeeded();
  trouble.succeeded();
  trouble.failed(new Error("away again"));
  expect(told).toEqual([
    expect.stringMatching(/^cannot watch .*away 0"}$/),
    expect.stringMatching(/^cannot watch .*away 600.*"failures":601}$/),
    expect.stringMatching(/^cannot watch .*away 1200.*"failures":1201}$/),
    'over: cannot watch {"failures":1201}',
    expect.stringMatching(/^cannot watch .*away again"}$/),
  ]);
});
