import { expect, test } from "vitest";
import { nextTurn } from "../../../src/base/concurrency.ts";
import { SharedRun } from "../../../src/base/shared-run.ts";

test("one run at a time, also for a caller that comes back as soon as its run has ended", async () => {
  let [runs, running, most] = [0, 0, 0];
  const shared = new SharedRun(async () => {
    runs++;
    most = Math.max(most, ++running);
    await nextTurn();
    running--;
  });
  const twice = async () => {
    await shared.run();
    await shared.run();
  };
  await Promise.all([twice(), shared.run(), twice(), shared.run()]);
  await shared.idle();
  expect(most).toBe(1);
  expect(running).toBe(0);
  expect(runs).toBe(3);
});
