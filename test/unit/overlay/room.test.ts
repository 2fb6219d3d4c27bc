import { describe, expect, test } from "vitest";
import { PACE_MAX_MS, ROOM_FAILING_MS, ROOM_STALLED_MS } from "../../../src/base/limits.ts";
import { StoredBytes } from "../../../src/overlay/data/stored-bytes.ts";
import { Room } from "../../../src/overlay/room.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const LIMIT = 1_000;

/** A room of 1,000 bytes whose content the test sets. */
function roomWith(limit = LIMIT) {
  const clock = new ManualClock();
  const now = { held: 0, grown: 0, mayFree: true };
  let wanted = 0;
  const room = new Room({ clock, limit, held: () => now.held, grown: () => now.grown, mayFree: () => now.mayFree });
  room.onWanted = () => wanted++;
  const answers: (boolean | undefined)[] = [];
  const wait = (bytes: number) => {
    const at = answers.push(undefined) - 1;
    void room.wait(bytes).then((fits) => (answers[at] = fits));
  };
  return { clock, now, room, answers, wait, wanted: () => wanted };
}

describe("the room for unpublished bytes", () => {
  test("is what the limit leaves, and infinite without a limit", () => {
    const { now, room } = roomWith();
    now.held = 400;
    expect([room.left, room.fits(600), room.fits(601)]).toEqual([600, true, false]);
    now.held = 1_200;
    expect([room.left, room.fits(0), room.fits(1)]).toEqual([0, true, false]);
    const { room: endless, now: there } = roomWith(Infinity);
    there.held = there.grown = 2 ** 50;
    expect([endless.left, endless.isLiveLarge, endless.pauseMs(2 ** 20)]).toEqual([Infinity, false, 0]);
  });

  test("seals the live epoch at a quarter of the limit, counted from the last seal", () => {
    const { now, room } = roomWith();
    now.grown = 249;
    expect(room.isLiveLarge).toBe(false);
    now.grown = 250;
    expect(room.isLiveLarge).toBe(true);
    room.sealed();
    expect(room.isLiveLarge).toBe(false);
  });

  test("delays writes above three quarters, more as it fills, and not while a delay cannot help", () => {
    const { now, room } = roomWith();
    const pauses = [0, 750, 800, 900, 1_000, 1_100].map((held) => ((now.held = held), room.pauseMs(2 ** 20)));
    expect(pauses.slice(0, 2)).toEqual([0, 0]);
    expect(pauses[2]).toBeGreaterThan(0);
    expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
    expect(pauses.at(-1)).toBe(PACE_MAX_MS);
    expect(room.pauseMs(1)).toBeLessThan(1);
    now.mayFree = false;
    expect(room.pauseMs(2 ** 20)).toBe(0);
    now.mayFree = true;
    room.failing(true);
    expect(room.pauseMs(2 ** 20)).toBe(0);
  });
});

describe("a write that finds no room", () => {
  test("continues as soon as there is room, and asks for publishing meanwhile", async () => {
    const { clock, now, room, answers, wait, wanted } = roomWith();
    now.held = LIMIT;
    wait(100);
    wait(200);
    await clock.advance(1_000);
    expect(answers).toEqual([undefined, undefined]);
    expect(wanted()).toBeGreaterThan(0);
    now.held = 850;
    room.changed();
    await clock.advance(0);
    expect(answers).toEqual([true, undefined]);
    now.held = 800;
    room.changed();
    await clock.advance(0);
    expect(answers).toEqual([true, true]);
  });

  test.each([
    ["it is larger than the limit", LIMIT + 1, true],
    ["nothing will be published or removed", 1, false],
  ])("is refused immediately if %s", async (_, bytes, mayFree) => {
    const { clock, now, answers, wait } = roomWith();
    Object.assign(now, { held: LIMIT, mayFree });
    wait(bytes);
    await clock.advance(0);
    expect(answers).toEqual([false]);
  });

  test("waits while a failed attempt is retried, and is refused once retries have failed for long", async () => {
    const { clock, now, room, answers, wait, wanted } = roomWith();
    now.held = LIMIT;
    room.failing(true);
    wait(1);
    await clock.advance(ROOM_FAILING_MS - 300);
    expect(answers).toEqual([undefined]);
    expect(wanted()).toBe(0);
    // The failure counts from the first failed attempt.
    room.failing(true);
    await clock.advance(600);
    expect(answers).toEqual([false]);
    wait(1);
    await clock.advance(0);
    expect(answers).toEqual([false, false]);
    room.failing(false);
    wait(1);
    await clock.advance(0);
    expect(answers).toEqual([false, false, undefined]);
  });

  test("waits while bytes move, and is refused once none have moved for long", async () => {
    const { clock, now, room, answers, wait } = roomWith();
    now.held = LIMIT;
    wait(1);
    for (let minutes = 0; minutes < 10; minutes++) {
      await clock.advance(60_000);
      room.progressed();
    }
    expect(answers).toEqual([undefined]);
    await clock.advance(ROOM_STALLED_MS + 300);
    expect(answers).toEqual([false]);
  });
});

describe("the bytes of data files", () => {
  test("count until the files are removed, and never more than a file's length", () => {
    const stored = new StoredBytes();
    stored.grew("a", 100, 100);
    stored.grew("b", 10, 5_000);
    expect(stored.total).toBe(110);
    // Cut off and written again.
    for (let times = 0; times < 5; times++) stored.grew("a", 80, 80);
    expect(stored.total).toBe(110);
    stored.unneeded("a");
    expect([stored.total, stored.isShrinking]).toEqual([110, true]);
    stored.removed("a");
    expect([stored.total, stored.isShrinking]).toEqual([10, false]);
  });

  test("are counted again after a start, also if an epoch in flight and the live one share a file", () => {
    const stored = new StoredBytes();
    const nameOf = (epoch: number) => `7.${epoch}`;
    const data = (offset: number, length: number, epoch: number) => ({ offset, length, from: "data" as const, epoch });
    const base = { offset: 0, length: 50, from: "base" as const, epoch: 0 };
    stored.found([base, data(50, 50, 1), data(100, 25, 2)], nameOf);
    stored.found([base, data(50, 70, 1)], nameOf);
    expect(stored.total).toBe(70 + 25);
    expect(stored.grown).toBe(0);
  });
});
