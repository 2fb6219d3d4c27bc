/** What a collection must not wait for: what the same client does beside it, or left unfinished before it asked for it. */
import Database from "better-sqlite3";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Wallet } from "../../../../src/base/ids.ts";
import { MAX_BLOCK_ACCEPTED } from "../../../../src/base/limits.ts";
import { OWNER_BODIES_BYTES } from "../../../../src/master/limits.ts";
import { signToken } from "../../../../src/crypto/token.ts";
import { encodeCarBlockHead, encodeCarHeader } from "../../../../src/format/blocks/car.ts";
import type { SwapGate } from "../../../../src/master/roots/swap-gate.ts";
import { BlockIndex } from "../../../../src/master/store/block-index.ts";
import { failure } from "../../../contract/block-store.ts";
import { carOf } from "../../../support/car.ts";
import { CollectedMaster, LATER_MS, retaining } from "../../../support/collected-master.ts";
import { CommitChain, nodeBlock } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { raw } from "../../../support/opaque-commits.ts";
import { RawClient } from "../../../support/raw-http.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { bob, startTestMaster } from "../../../support/test-master.ts";

const never = new AbortController().signal;

const clients: RawClient[] = [];
let clock: ManualClock;
beforeEach(() => void (clock = new ManualClock()));
afterEach(() => {
  vi.restoreAllMocks();
  for (const client of clients.splice(0)) client.close();
});

test("uploads, queries, leases and swaps of its owner go on during each step of a collection", async () => {
  await using master = await CollectedMaster.open({ dir: await temporaryFolder(), clock });
  const chain = await CommitChain.create();
  const owner: Wallet = chain.owner.wallet;
  const blocks = await master.blocksOf(owner);
  let last = retaining(chain, text("first"), undefined, []);
  await master.publish(owner, "photos", last);
  let round = 0;
  const work = async () => {
    const label = `round ${round++}`;
    const block = nodeBlock(text(label));
    await blocks.put([block]);
    await blocks.lease([block.cid]);
    expect(await blocks.hold([block.cid])).toEqual(new Set([block.cid]));
    await blocks.get(block.cid);
    const next = retaining(chain, text(`commit ${label}`), last, []);
    await master.publish(owner, "photos", next);
    last = next;
  };
  for (let at = 0; at < 5; at++) await work();
  await clock.advance(LATER_MS);
  const report = await blocks.collect(async (collecting) => {
    await work();
    collecting.beginSweep();
    await work();
    const swept = await collecting.sweep(never);
    await work();
    const [first] = [...collecting.plan(swept).packs.keys()];
    const repacked = collecting.repack(collecting.plan(swept), swept, never);
    await work();
    return { first, packs: (await repacked).packs };
  });
  expect(report?.packs.has(report.first ?? "")).toBe(true);
  await work();
});

test("a collection that finds its index damaged ends without blocking anyone, and the index is rebuilt", async () => {
  await using master = await CollectedMaster.open({ dir: await temporaryFolder(), clock });
  const chain = await CommitChain.create();
  const owner: Wallet = chain.owner.wallet;
  const made = retaining(chain, text("first"), undefined, []);
  await master.publish(owner, "photos", made);
  const atGate = Promise.withResolvers<void>();
  const close: SwapGate["close"] = (...args) => {
    atGate.resolve();
    return master.swaps.gate.close(...args);
  };
  // A swap that is under way keeps it at the gate, for many attempts.
  using _swap = await master.swaps.gate.pass(owner, never);
  const collected = failure(master.collect(owner, false, { gate: { close } as SwapGate }));
  await atGate.promise;
  vi.spyOn(BlockIndex.prototype, "find").mockImplementationOnce(() => {
    throw new Database.SqliteError("database disk image is malformed", "SQLITE_CORRUPT");
  });
  const asked = (await master.blocksOf(owner)).has([made.commit.cid]);
  await clock.advance(2_500);
  expect(await asked).toEqual(new Set([made.commit.cid]));
  expect(await collected).toMatchObject({ code: "store_corrupt" });
});

test("stalled uploads of the same client do not keep a collection from ending", { timeout: 120_000 }, async () => {
  const master = await startTestMaster({ clock });
  try {
    const chain = await CommitChain.create();
    const made = retaining(chain, text("first"), undefined, []);
    const put = { method: "POST", body: carOf(...made.blocks) };
    expect((await master.call("/v1/blocks", put, bob)).status).toBe(200);
    const swap = { method: "PUT", body: JSON.stringify({ root: made.commit.cid }), headers: { "if-none-match": "*" } };
    expect((await master.call("/v1/buckets/b/root", swap, bob)).status).toBe(200);
    const bearer = await signToken(bob, Number(clock.nowNs() / 1_000_000_000n));
    const head = `POST /v1/blocks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bearer}\r\nContent-Length: 60000000\r\n\r\n`;
    const begun = [encodeCarHeader(), encodeCarBlockHead(raw("x").cid, MAX_BLOCK_ACCEPTED), Buffer.alloc(40_000)];
    // As much memory for uploads as one owner may have, and one that waits for more.
    for (let at = 0; at <= OWNER_BODIES_BYTES / MAX_BLOCK_ACCEPTED; at++) {
      const client = await RawClient.open(master.origin);
      clients.push(client.send(head).send(Buffer.concat(begun)));
    }
    await expect
      .poll(() => master.metrics(), { timeout: 60_000, interval: 50 })
      .toMatch(/^syncline_bodies_waiting 1$/m);
    expect((await master.call("/v1/collection", { method: "POST", body: "{}" }, bob)).status).toBe(202);
    const state = async () => (await master.call("/v1/collection", {}, bob)).json();
    const ended = { running: false, collected: { number: 1, blocks: 0 } };
    await expect.poll(state, { timeout: 60_000, interval: 50 }).toMatchObject(ended);
  } finally {
    for (const client of clients) client.close();
    await master.stop();
  }
});

function text(label: string): string {
  return `${label} ${"x".repeat(2_000)}`;
}
