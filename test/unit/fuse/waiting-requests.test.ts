/** Which waiting requests are given up when signals come. */
import { expect, test } from "vitest";
import { hasPendingKill, isDying } from "../../../src/fuse/dying-thread.ts";
import { WaitingRequests } from "../../../src/fuse/waiting-requests.ts";
import { ManualClock } from "../../support/manual-clock.ts";

function world() {
  const clock = new ManualClock();
  const dying = new Set<number>();
  const looks: number[] = [];
  const waiting = new WaitingRequests(clock, (thread) => {
    looks.push(thread);
    return dying.has(thread);
  });
  return { clock, dying, looks, waiting };
}

test("a request goes on waiting when its thread survives a signal", async () => {
  const { clock, waiting } = world();
  const signal = waiting.add(1, 100);
  waiting.signalled(1);
  await clock.advance(60_000);
  expect(signal.aborted).toBe(false);
});

test("a request whose thread is dying is aborted at once, and no other is", () => {
  const { dying, waiting } = world();
  const [first, second] = [waiting.add(1, 100), waiting.add(2, 200)];
  dying.add(100);
  waiting.signalled(1);
  expect([first.aborted, second.aborted]).toEqual([true, false]);
});

test("a fatal signal after an earlier signal is noticed within a second", async () => {
  const { clock, dying, waiting } = world();
  const signal = waiting.add(1, 100);
  waiting.signalled(1);
  await clock.advance(10_000);
  dying.add(100);
  await clock.advance(999);
  expect(signal.aborted).toBe(true);
});

test("a thread is checked only while its request waits after a signal", async () => {
  const { clock, looks, waiting } = world();
  waiting.add(1, 100);
  waiting.add(2, 200);
  await clock.advance(10_000);
  expect(looks).toEqual([]);
  waiting.signalled(1);
  await clock.advance(1_000);
  expect(new Set(looks)).toEqual(new Set([100]));
  waiting.delete(1);
  waiting.signalled(1);
  looks.length = 0;
  await clock.advance(10_000);
  expect(looks).toEqual([]);
});

test("a thread is dying when SIGKILL is among its own pending signals", () => {
  const status = (pending: string) => `Name:\tSigPnd:\nSigPnd:\t${pending}\nShdPnd:\t0000000000000100\n`;
  expect(hasPendingKill(status("0000000000000100"))).toBe(true);
  expect(hasPendingKill(status("8000000000002100"))).toBe(true);
  // SIGALRM, and what is sent to the process as a whole.
  expect(hasPendingKill(status("0000000000002000"))).toBe(false);
  expect(hasPendingKill("no such line")).toBe(false);
});

test("a thread that cannot be inspected does not count as dying", () => {
  expect([isDying(0), isDying(2 ** 22 + 1), isDying(process.pid)]).toEqual([false, false, false]);
});
