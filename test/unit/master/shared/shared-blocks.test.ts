/** One master's view of packs that other masters change. */
import { expect, test, vi } from "vitest";
import type { Wallet } from "../../../../src/base/ids.ts";
import { noise } from "../../../support/bytes.ts";
import { blockOf } from "../../../support/commit-chain.ts";
import { SharedWorld } from "../../../support/shared-world.ts";

const OWNER = `0x${"11".repeat(20)}` as Wallet;

test("a pack that is condemned again while a swap restores it does not count as live", async () => {
  const world = new SharedWorld();
  const block = blockOf("raw", noise(1_000, 1));
  const blocks = await world.master().stores.of(OWNER);
  await blocks.put([block]);
  const { packs } = world.arbiter;
  const condemn = blocks.cache.packs().map(({ pack }) => pack);
  const condemned = { add: [], condemn, begunMs: 0, patienceMs: 0 };
  await packs.change(OWNER, condemned);
  await blocks.era();
  const { restore } = packs;
  vi.spyOn(packs, "restore").mockImplementation(async (...call) => {
    const live = await restore(...call);
    // The answer is late. Meanwhile another master condemns the pack, and this one reads that first.
    await packs.change(OWNER, condemned);
    await blocks.era();
    return live;
  });
  expect(await blocks.hold([block.cid])).toEqual(new Set());
  expect(await blocks.has([block.cid])).toEqual(new Set());
});
