/** What one request for a public block costs a master with many owners. */
import { describe, expect, test, vi } from "vitest";
import type { Wallet } from "../../../../src/base/ids.ts";
import { PublicSearch } from "../../../../src/master/blocks/public-search.ts";
import { OpenStreams } from "../../../../src/master/http/open-streams.ts";
import { MISSING_MS, SEARCH_MS } from "../../../../src/master/limits.ts";
import { noise } from "../../../support/bytes.ts";
import { blockOf } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { MemoryBlockStores, MemoryOwnerBlocks } from "../../../support/memory-owner-blocks.ts";

const OWNERS = 20;
const owners = Array.from({ length: OWNERS }, (_, index) => `0x${String(index).padStart(40, "0")}` as Wallet);
const { signal } = new AbortController();

describe("a search for a public block", () => {
  test("ends early among many owners, and the next one goes on from there", async () => {
    const { search, looks, block } = await world(SEARCH_MS / 4);
    const busy = { code: "busy", headers: { "retry-after": "1" } };
    for (let requests = 1; requests < OWNERS / 4; requests++) {
      await expect(search.find(block.cid, "192.0.2.1", signal)).rejects.toMatchObject(busy);
      expect(looks).toHaveLength(4 * requests);
    }
    expect((await search.find(block.cid, "192.0.2.1", signal))?.owner).toBe(owners.at(-1));
    expect(looks).toEqual(owners);
  });

  test("asks the owners of earlier blocks first", async () => {
    const { search, stores, looks, block } = await world();
    await search.find(block.cid, "192.0.2.1", signal);
    const another = blockOf("raw", noise(100, 2));
    await (await stores.of(owners.at(-1) as Wallet)).put([another]);
    looks.length = 0;
    expect((await search.find(another.cid, "192.0.2.1", signal))?.owner).toBe(owners.at(-1));
    expect(looks).toEqual([owners.at(-1)]);
  });

  test("remembers for a minute that no owner has it", async () => {
    const { search, looks, clock } = await world();
    const { cid } = blockOf("raw", noise(100, 2));
    for (let requests = 0; requests < 3; requests++)
      expect(await search.find(cid, "192.0.2.1", signal)).toBeUndefined();
    expect(looks).toHaveLength(OWNERS);
    await clock.advance(MISSING_MS);
    await search.find(cid, "192.0.2.1", signal);
    expect(looks).toHaveLength(2 * OWNERS);
  });

  test("ends when the master stops, also while it waits for its turn", async () => {
    const { search, stores, looks, endings } = await world();
    const listed = Promise.withResolvers<Wallet[]>();
    vi.spyOn(stores, "owners").mockReturnValue(listed.promise);
    const searches = [1, 2].map((seed) => search.find(blockOf("raw", noise(100, seed)).cid, "192.0.2.1", signal));
    const ended = Promise.allSettled(searches);
    endings.stop();
    await expect(searches[1]).rejects.toMatchObject({ code: "busy" });
    listed.resolve(owners);
    expect((await ended).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(looks).toEqual([]);
  });

  test("ends when the client goes away", async () => {
    const { search, block, looks } = await world();
    await expect(search.find(block.cid, "192.0.2.1", AbortSignal.abort())).rejects.toThrow("aborted");
    expect(looks).toEqual([]);
  });
});

/** Each look at an owner takes `lookMs`. Only the last owner has the block. */
async function world(lookMs = 0) {
  const clock = new ManualClock();
  const stores = new MemoryBlockStores();
  const block = blockOf("raw", noise(100, 1));
  for (const [index, owner] of owners.entries())
    await (await stores.of(owner)).put([index === OWNERS - 1 ? block : blockOf("raw", noise(100, 100 + index))]);
  const looks: Wallet[] = [];
  const names = new Map<MemoryOwnerBlocks, Wallet>();
  for (const owner of owners) names.set(await stores.of(owner), owner);
  vi.spyOn(MemoryOwnerBlocks.prototype, "knownSize").mockImplementation(async function (this: MemoryOwnerBlocks, cid) {
    looks.push(names.get(this) as Wallet);
    await clock.advance(lookMs);
    return this.size(cid);
  });
  const endings = new OpenStreams(clock);
  return { search: new PublicSearch({ stores, endings, clock }), stores, looks, block, clock, endings };
}
