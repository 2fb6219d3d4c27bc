import { describe, expect, test } from "vitest";
import type { WriterId } from "../../../../src/base/ids.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { READ_AHEAD_MS } from "../../../../src/bucket/packed/read-ahead.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore, Turn } from "../../../../src/objects/object-store.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { countedStore } from "../../../support/counted-store.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { made, node, publish, raw } from "../../../support/opaque-commits.ts";

/** A bucket that others publish to, and one who waits in its line until `begin` is called. */
async function lineOfOne() {
  const { store, take } = countedStore(new MemoryObjectStore());
  const clock = new ManualClock();
  const others = await made(async () => agent(store, clock, 1));
  let begin = (_turn: Turn | undefined): void => {};
  const turn = new Promise<Turn | undefined>((resolve) => (begin = resolve));
  const waiting = agent({ ...store, takeTurn: () => turn }, clock, 2);
  await waiting.readRoot();
  take();
  return { store, clock, others, waiting, take, begin };
}

function agent(store: ObjectStore, clock: ManualClock, number: number): PackedRemote {
  const writer = number.toString(16).padStart(32, "0") as WriterId;
  return new PackedRemote(store, { clock, random: seededRandom(number), writer: () => writer });
}

const TURN: Turn = { waited: true, [Symbol.dispose]: () => {} };

describe("a writer that waits for a turn", () => {
  test("has already read what others published meanwhile", async () => {
    const { clock, others, waiting, take, begin } = await lineOfOne();
    const taken = waiting.takeTurn();
    for (let edit = 0; edit < 5; edit++)
      await publish(others, `edit ${edit}`, [raw(`content ${edit}`)], [node(`leaf ${edit}`)]);
    await clock.advance(READ_AHEAD_MS);
    begin(TURN);
    expect(await taken).toMatchObject({ waited: true });
    take();
    await waiting.readRoot();
    const cids = [0, 1, 2, 3, 4]
      .flatMap((edit) => [raw(`content ${edit}`), node(`leaf ${edit}`)])
      .map(({ cid }) => cid);
    expect((await waiting.blocks.getMany(cids)).size).toBe(10);
    // The root's commit is looked for while the root is being read.
    expect(take().reads).toBe(2);
  });

  test("reads only the root while nothing changes, and stops once the turn comes", async () => {
    const { clock, waiting, take, begin } = await lineOfOne();
    const taken = waiting.takeTurn();
    await clock.advance(READ_AHEAD_MS);
    take();
    for (let look = 0; look < 5; look++) await clock.advance(READ_AHEAD_MS);
    expect(take().reads).toBe(5);
    begin(TURN);
    await taken;
    await clock.advance(10 * READ_AHEAD_MS);
    expect(take().reads).toBe(0);
  });

  test("gets its turn even if nothing can be read, and reads again once it can", async () => {
    const { store, clock, others, waiting, take, begin } = await lineOfOne();
    const root = await store.get("root");
    const taken = waiting.takeTurn();
    await store.delete("root");
    await clock.advance(2 * READ_AHEAD_MS);
    await store.putNew("root", [Buffer.from("no root")]);
    await clock.advance(2 * READ_AHEAD_MS);
    await store.delete("root");
    await store.putNew("root", [root?.bytes ?? new Uint8Array()]);
    await publish(others, "edit", [raw("content")], []);
    await clock.advance(READ_AHEAD_MS);
    begin(TURN);
    expect(await taken).toMatchObject({ waited: true });
    await waiting.readRoot();
    take();
    expect((await waiting.blocks.get(raw("content").cid)).length).toBe(7);
    expect(take().reads).toBe(0);
  });

  test("still reads the current root itself, whatever it read ahead", async () => {
    const { clock, others, waiting, begin } = await lineOfOne();
    const taken = waiting.takeTurn();
    const { commit, version } = await publish(others, "edit", [], []);
    await clock.advance(READ_AHEAD_MS);
    begin(undefined);
    expect(await taken).toBeUndefined();
    expect(await waiting.readRoot()).toEqual({ commit, version });
  });
});
