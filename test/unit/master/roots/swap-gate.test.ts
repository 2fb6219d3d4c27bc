/** The gate between an owner's swaps and a collection that begins to sweep: who waits for whom, and for how long. */
import { beforeEach, describe, expect, test } from "vitest";
import type { Wallet } from "../../../../src/base/ids.ts";
import { type ClosedGate, SwapGate } from "../../../../src/master/roots/swap-gate.ts";
import type { RootTable } from "../../../../src/roots/root-store.ts";
import { CollectedMaster, retaining } from "../../../support/collected-master.ts";
import { CommitChain } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const OWNER = `0x${"a".repeat(40)}`;
const PATIENCE = { patienceMs: 2_000, heldMs: 500 };
const { signal } = new AbortController();

let gate: SwapGate;
let clock: ManualClock;

beforeEach(() => {
  gate = new SwapGate();
  clock = new ManualClock();
});

describe("the gate between swaps and a sweep", () => {
  test("holds up one owner's swaps while it is closed, and nobody else's", async () => {
    const closed = await gate.close(OWNER, PATIENCE, clock);
    const held = enter();
    (await gate.pass("another", signal))[Symbol.dispose]();
    expect(held.isInside).toBe(false);
    closed?.[Symbol.dispose]();
    await held.pass;
    expect(held.isInside).toBe(true);
  });

  test("lets swaps in while it waits for those inside, and closes as soon as all have left", async () => {
    const first = await gate.pass(OWNER, signal);
    const closing = gate.close(OWNER, PATIENCE, clock);
    const second = await gate.pass(OWNER, signal);
    first[Symbol.dispose]();
    second[Symbol.dispose]();
    const next = enter();
    const closed = await closing;
    expect([closed?.isClosed, next.isInside]).toEqual([true, false]);
    closed?.[Symbol.dispose]();
    await next.pass;
  });

  test("holds up swaps for at most half a second when those inside take too long", async () => {
    const inside = await gate.pass(OWNER, signal);
    const closing = gate.close(OWNER, PATIENCE, clock);
    await clock.advance(1_999);
    const early = enter();
    await early.pass;
    await clock.advance(1);
    const held = enter();
    (await early.pass)[Symbol.dispose]();
    await clock.advance(499);
    expect(held.isInside).toBe(false);
    await clock.advance(1);
    expect([held.isInside, await closing]).toEqual([true, undefined]);
    inside[Symbol.dispose]();
    (await held.pass)[Symbol.dispose]();
    expect((await gate.close(OWNER, PATIENCE, clock))?.isClosed).toBe(true);
  });

  test("closes when those inside leave while others wait", async () => {
    const inside = await gate.pass(OWNER, signal);
    const closing = gate.close(OWNER, PATIENCE, clock);
    await clock.advance(2_300);
    const held = enter();
    inside[Symbol.dispose]();
    expect([(await closing)?.isClosed, held.isInside]).toEqual([true, false]);
    await clock.advance(200);
    expect(held.isInside).toBe(true);
  });

  test("opens by itself after a while, and its closer can tell", async () => {
    const closed = (await gate.close(OWNER, PATIENCE, clock)) as ClosedGate;
    const held = enter();
    await clock.advance(500);
    expect([closed.isClosed, held.isInside]).toEqual([false, true]);
    const again = gate.close(OWNER, PATIENCE, clock);
    (await held.pass)[Symbol.dispose]();
    // What was closed before is none of this one's.
    closed[Symbol.dispose]();
    expect((await again)?.isClosed).toBe(true);
  });

  test("still counts a swap that entered when it opened by itself, even after its closer let go", async () => {
    const closed = (await gate.close(OWNER, PATIENCE, clock)) as ClosedGate;
    const held = enter();
    await clock.advance(500);
    const pass = await held.pass;
    closed[Symbol.dispose]();
    const again = gate.close(OWNER, PATIENCE, clock);
    let isAgain = false;
    void again.then(() => (isAgain = true));
    await clock.advance(0);
    expect(isAgain).toBe(false);
    pass[Symbol.dispose]();
    const next = enter();
    expect([(await again)?.isClosed, next.isInside]).toEqual([true, false]);
  });
});

test(
  "a swap proceeds when a collection holds the gate too long, and the collection retries after it",
  { timeout: 120_000 },
  async () => {
    const dir = await temporaryFolder();
    const chain = await CommitChain.create();
    const owner: Wallet = chain.owner.wallet;
    await using master = await CollectedMaster.open({ dir, clock });
    const first = retaining(chain, "first", undefined, []);
    await master.publish(owner, "photos", first);
    const stuck = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    let attempts = 0;
    const gate: Pick<SwapGate, "close"> = {
      async close(...args) {
        const closed = await master.swaps.gate.close(...args);
        attempts++;
        return closed;
      },
    };
    const roots: Pick<RootTable, "list"> = {
      async list(...args) {
        const rows = await master.roots.list(...args);
        if (attempts !== 1) return rows;
        begun.resolve();
        await stuck.promise;
        return rows;
      },
    };
    const collected = master.collect(owner, false, { roots: roots as RootTable, gate: gate as SwapGate });
    await begun.promise;
    const second = retaining(chain, "second", first, [first]);
    const swapped = master.publish(owner, "photos", second);
    await clock.advance(500);
    await swapped;
    stuck.resolve();
    // Its next attempt comes a second later.
    const tried = async () => {
      await clock.advance(1_000);
      return attempts;
    };
    await expect.poll(tried, { timeout: 60_000, interval: 5 }).toBe(2);
    await collected;
    expect(await (await master.blocksOf(owner)).complete([second.commit.cid])).toEqual(new Set([second.commit.cid]));
    expect(await master.damage()).toEqual([]);
  },
);

function enter() {
  const entered = { isInside: false, pass: gate.pass(OWNER, signal) };
  void entered.pass.then(() => (entered.isInside = true));
  return entered;
}
