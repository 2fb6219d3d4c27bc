/** The lines of a master: who has a turn, in which order, and when it ends. */
import { expect, test } from "vitest";
import { systemRandom } from "../../../../src/base/random.ts";
import { MAX_TURNS, OWNER_TURNS, TURN_MS, TURN_WAIT_MS, TurnLines } from "../../../../src/master/roots/turn-lines.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const NAME = { owner: "0xa", bucket: "notes" };

function lines() {
  const clock = new ManualClock();
  const turns = new TurnLines(clock, systemRandom);
  const order: string[] = [];
  const take = async (who: string, signal = new AbortController().signal, name = NAME) => {
    const turn = await turns.take(name, name.owner, signal);
    order.push(turn === undefined ? `${who} in vain` : who);
    return turn;
  };
  return { clock, turns, order, take };
}

test("turns are granted one at a time, in the order of requests", async () => {
  const { clock, turns, order, take } = lines();
  const waiting = ["a", "b", "c"].map((who) => take(who));
  await clock.advance(0);
  expect(order).toEqual(["a"]);
  for (const [index, turn] of waiting.entries()) {
    const given = await turn;
    expect(given?.waited).toBe(index > 0);
    turns.end(NAME, given?.id ?? "");
  }
  expect(order).toEqual(["a", "b", "c"]);
  expect(turns.places).toBe(0);
});

test("an abandoned turn expires, and only its own id can end it earlier", async () => {
  const { clock, turns, order, take } = lines();
  const gone = await take("gone");
  const next = take("next");
  turns.end(NAME, "another");
  await clock.advance(TURN_MS - 1);
  expect(order).toEqual(["gone"]);
  await clock.advance(1);
  expect(order).toEqual(["gone", "next"]);
  const last = take("last");
  // He was slow, and not gone: it is not his turn any more.
  turns.end(NAME, gone?.id ?? "");
  await clock.advance(0);
  expect(order).toEqual(["gone", "next"]);
  turns.end(NAME, (await next)?.id ?? "");
  expect((await last)?.waited).toBe(true);
});

test("a client that waits too long proceeds without a turn, and one that leaves is skipped", async () => {
  const { clock, turns, order, take } = lines();
  const away = new AbortController();
  let turn = await take("a");
  const [left, patient] = [take("left", away.signal), take("patient")];
  away.abort();
  await clock.advance(0);
  expect(order).toEqual(["a", "left in vain"]);
  turns.end(NAME, turn?.id ?? "");
  turn = await patient;
  expect(turn?.waited).toBe(true);
  const others = Array.from({ length: 8 }, (_, index) => take(String(index)));
  await clock.advance(TURN_WAIT_MS + 2 * TURN_MS);
  expect((await Promise.all(others)).filter((given) => given === undefined).length).toBeGreaterThan(3);
  expect(await left).toBeUndefined();
  await clock.advance(8 * TURN_MS);
  expect(turns.places).toBe(0);
});

test("each bucket has its own line, and waiting clients are bounded per owner and in total", async () => {
  const { clock, turns, order, take } = lines();
  await take("notes");
  await take("other bucket", undefined, { ...NAME, bucket: "other" });
  await take("other owner", undefined, { ...NAME, owner: "0xb" });
  expect(order).toEqual(["notes", "other bucket", "other owner"]);
  const owners = Array.from({ length: MAX_TURNS / OWNER_TURNS + 1 }, (_, index) => `0x${index}`);
  const asked = owners.flatMap((owner) =>
    Array.from({ length: OWNER_TURNS + 1 }, () => take("many", undefined, { ...NAME, owner })),
  );
  await clock.advance(0);
  expect(turns.places).toBe(MAX_TURNS);
  await clock.advance(TURN_WAIT_MS + 4 * TURN_MS);
  await Promise.all(asked);
  await clock.advance(TURN_WAIT_MS);
  expect(turns.places).toBe(0);
});
