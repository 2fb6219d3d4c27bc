/** Which waiting requests are given up when signals or freezers come. */
import { expect, test } from "vitest";
import { hasPendingKill, isDying, isGone } from "../../../src/fuse/dying-thread.ts";
import { WaitingRequests } from "../../../src/fuse/waiting-requests.ts";
import { ManualClock } from "../../support/manual-clock.ts";

function world() {
  const clock = new ManualClock();
  const dying = new Set<number>();
  const freezing = new Set<number>();
  const gone = new Set<number>();
  const looks: number[] = [];
  const waiting = new WaitingRequests(clock, {
    isDying: (thread) => {
      looks.push(thread);
      return dying.has(thread);
    },
    isGone: (thread) => gone.has(thread),
    freezing: (threads) => new Set([...threads].filter((thread) => freezing.has(thread))),
  });
  return { clock, dying, freezing, gone, looks, waiting };
}

test("a request goes on waiting when its thread survives a signal", async () => {
  const { clock, waiting } = world();
  const signal = waiting.add(1, 100, false);
  waiting.signalled(1);
  await clock.advance(60_000);
  expect(signal.aborted).toBe(false);
});

test("a request whose thread is dying is aborted at once, and no other is", () => {
  const { dying, waiting } = world();
  const [first, second] = [waiting.add(1, 100, false), waiting.add(2, 200, false)];
  dying.add(100);
  waiting.signalled(1);
  expect([first.aborted, second.aborted]).toEqual([true, false]);
});

test("a fatal signal after an earlier signal is noticed within a second", async () => {
  const { clock, dying, waiting } = world();
  const signal = waiting.add(1, 100, false);
  waiting.signalled(1);
  await clock.advance(10_000);
  dying.add(100);
  await clock.advance(999);
  expect(signal.aborted).toBe(true);
});

test("a thread is checked only while its request waits after a signal", async () => {
  const { clock, looks, waiting } = world();
  waiting.add(1, 100, false);
  waiting.add(2, 200, false);
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

test("a request whose thread a freezer waits for is given up within five seconds, and no other is", async () => {
  const { clock, freezing, waiting } = world();
  const [first, second] = [waiting.add(1, 100, false), waiting.add(2, 200, false)];
  await clock.advance(60_000);
  freezing.add(100);
  await clock.advance(5_000);
  expect([first.aborted, second.aborted]).toEqual([true, false]);
});

test("a request is given up immediately if its thread is woken for a freezer", () => {
  const { freezing, waiting } = world();
  const signal = waiting.add(1, 100, false);
  freezing.add(100);
  waiting.signalled(1);
  expect(signal.aborted).toBe(true);
});

test("a request that must not be repeated is given up for a fatal signal, but not for a freezer", async () => {
  const { clock, dying, freezing, waiting } = world();
  const signal = waiting.add(1, 100, false);
  waiting.mustNotRepeat(1);
  freezing.add(100);
  waiting.signalled(1);
  await clock.advance(60_000);
  expect(signal.aborted).toBe(false);
  dying.add(100);
  await clock.advance(1_000);
  expect(signal.aborted).toBe(true);
});

test("a request that may outlive its thread is given up after the thread has ended, and no other is", async () => {
  const { clock, gone, waiting } = world();
  const [first, second] = [waiting.add(1, 100, true), waiting.add(2, 100, false)];
  await clock.advance(60_000);
  gone.add(100);
  await clock.advance(5_000);
  expect([first.aborted, second.aborted]).toEqual([true, false]);
});

test("no timer is set while no request waits", async () => {
  const { clock, waiting } = world();
  waiting.add(1, 100, false);
  waiting.delete(1);
  await clock.advance(60_000);
  const timers = clock.count;
  await clock.advance(60_000);
  expect([timers, clock.count]).toEqual([0, 0]);
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

test("a thread is gone only if /proc lacks it", () => {
  expect([isGone(0), isGone(2 ** 22 + 1), isGone(process.pid)]).toEqual([false, true, false]);
});
