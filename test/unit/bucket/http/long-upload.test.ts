/** An upload that takes longer than the leases of its blocks at the master. */
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import { MASTER_PUT_BYTES } from "../../../../src/base/limits.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { HttpRemote } from "../../../../src/bucket/http/http-remote.ts";
import type { LocalBlocks } from "../../../../src/bucket/http/http-upload.ts";
import { collectAtMaster } from "../../../../src/bucket/http/master-collection.ts";
import { walletBearer } from "../../../../src/net/bearer.ts";
import { MasterConnection } from "../../../../src/net/master-connection.ts";
import { MeddlingMaster } from "../../../support/meddling-master.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { randomLooking } from "../../../support/opaque-commits.ts";
import { madeSigned, SignedHistory } from "../../../support/signed-history.ts";
import { alice, startTestMaster } from "../../../support/test-master.ts";

const HOUR_MS = 3_600_000;
const BLOCK_BYTES = MASTER_PUT_BYTES / 2;

async function world(options: { readonly leaseSeconds?: number; readonly local?: LocalBlocks } = {}) {
  const clock = new ManualClock();
  const { local, ...rules } = options;
  const master = await startTestMaster({ clock, ...rules });
  onTestFinished(() => master.stop());
  // Only its time-outs use the clock, and time jumps here.
  const bearer = walletBearer(async () => alice, clock);
  const connection = new MeddlingMaster(new MasterConnection(master.origin, { bearer, clock: systemClock }));
  const remote = new HttpRemote({
    address: `${master.origin}/long`,
    master: connection,
    name: { owner: "", bucket: "long" },
    local,
    clock,
    random: systemRandom,
  });
  onTestFinished(() => remote[Symbol.asyncDispose]());
  const history = await SignedHistory.create();
  await madeSigned(history, async () => remote);
  const root = await remote.readRoot();
  if (root === undefined) throw new Error("no root");
  const collect = () => collectAtMaster(connection, { ...systemClock, sleep: async () => {} }, { dryRun: false });
  const pass = async (ms: number) => {
    await expect.poll(() => connection.bodyBytes).toBe(0);
    await clock.advance(ms);
    await collect();
  };
  return { remote, history, root, pass };
}

function blocks(count: number) {
  return Array.from({ length: count }, (_, index) => randomLooking(`long ${index}`, BLOCK_BYTES));
}

describe("an upload that takes longer than two leases", () => {
  test.each([
    ["of 24 hours", undefined, 6 * HOUR_MS],
    ["that the operator chose", 1_800, HOUR_MS / 8],
  ])("%s is published", async (_, leaseSeconds, stepMs) => {
    const { remote, history, root, pass } = await world(leaseSeconds === undefined ? {} : { leaseSeconds });
    const content = blocks(10);
    await using session = remote.beginUpload();
    for (const block of content) {
      await session.putContent(block);
      await pass(stepMs);
    }
    const { swap } = await session.prepare(root, history.next(root.commit, "long", content));
    expect((await swap()).kind).toBe("committed");
    expect((await remote.blocks.getMany(content.map(({ cid }) => cid))).size).toBe(content.length);
  });
});

describe("blocks that a collection took while the uploader slept", () => {
  const content = blocks(4);

  test("are sent again from copies on this machine", async () => {
    const copies = new Map(content.map(({ cid, bytes }): [Cid, Uint8Array] => [cid, bytes]));
    const { remote, history, root, pass } = await world({ local: { held: async () => copies } });
    await using session = remote.beginUpload();
    for (const block of content.slice(0, 2)) await session.putContent(block);
    await session.prepare(root, history.next(root.commit, "slept", content.slice(0, 2)));
    await pass(50 * HOUR_MS);
    for (const block of content.slice(2)) await session.putContent(block);
    expect((await remote.blocks.has(content.slice(0, 2).map(({ cid }) => cid))).size).toBe(2);
    const { swap } = await session.prepare(root, history.next(root.commit, "awake", content));
    expect((await swap()).kind).toBe("committed");
  });

  test("make the upload begin anew before more is sent, if there are no copies", async () => {
    const { remote, history, root, pass } = await world();
    await using session = remote.beginUpload();
    for (const block of content.slice(0, 2)) await session.putContent(block);
    await session.prepare(root, history.next(root.commit, "slept", content.slice(0, 2)));
    await pass(50 * HOUR_MS);
    await expect(session.putContent(content[2] as (typeof content)[2])).rejects.toMatchObject({ code: "root_moved" });
    await using anew = remote.beginUpload();
    for (const block of content) await anew.putContent(block);
    const { swap } = await anew.prepare(root, history.next(root.commit, "anew", content));
    expect((await swap()).kind).toBe("committed");
  });
});
