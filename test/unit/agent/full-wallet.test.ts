/** Agents at a master whose quota is used up: what was deleted is published, and nothing waits behind what does not fit. */
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { HttpRemote } from "../../../src/bucket/http/http-remote.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { BLOCK_OVERHEAD_BYTES } from "../../../src/master/limits.ts";
import { walletBearer } from "../../../src/net/bearer.ts";
import { MasterConnection } from "../../../src/net/master-connection.ts";
import { treeOf } from "../../../src/simulate/judges/shown-tree.ts";
import { noise } from "../../support/bytes.ts";
import { SimulatedAgent } from "../../support/simulated-agent.ts";
import { createBucket, OWNER } from "../../support/test-bucket.ts";
import { startTestMaster } from "../../support/test-master.ts";

const QUOTA_BYTES = 1_000_000;

async function world() {
  const master = await startTestMaster({ quotaBytes: QUOTA_BYTES });
  onTestFinished(() => master.stop());
  const connection = new MasterConnection(master.origin, {
    bearer: walletBearer(async () => OWNER, systemClock),
    clock: systemClock,
  });
  const remote = new HttpRemote({
    address: `${master.origin}/full`,
    master: connection,
    name: { owner: "", bucket: "full" },
    clock: systemClock,
    random: systemRandom,
  });
  onTestFinished(() => remote[Symbol.asyncDispose]());
  await createBucket(remote);
  const agent = await SimulatedAgent.start(remote, "a", 11, systemClock);
  /** The names that another agent sees. */
  const seen = async () => {
    const other = await SimulatedAgent.start(remote, "b", 12, systemClock);
    return [...(await treeOf(other.mount)).keys()].filter((path) => path !== "");
  };
  const usedBytes = async () => (await remote.quota())?.usedBytes ?? 0;
  return { agent, remote, seen, usedBytes };
}

test("a deletion is published in a wallet that is full to the byte, and contents are not", async () => {
  const { agent, remote, seen, usedBytes } = await world();
  await agent.mount.create("large", noise(400_000, 1));
  await agent.mount.create("other", noise(100_000, 2));
  await agent.flush();
  const bytes = noise(QUOTA_BYTES - BLOCK_OVERHEAD_BYTES - (await usedBytes()), 3);
  await remote.blocks.putMany([{ cid: cidOf("raw", bytes), bytes }]);
  expect(await usedBytes()).toBe(QUOTA_BYTES);
  await agent.mount.unlink("large");
  await agent.flush();
  expect(agent.trouble).toBeUndefined();
  expect(await seen()).toEqual(["other"]);
  await agent.mount.create("new", noise(100_000, 4));
  await agent.flush();
  expect(agent.trouble?.code).toBe("over_quota");
  await agent.mount.unlink("other");
  await agent.mount.unlink("new");
  await agent.flush();
  expect(agent.trouble).toBeUndefined();
  expect(await seen()).toEqual([]);
});

describe("a file that does not fit", () => {
  test("keeps nothing else from being published once it is deleted", async () => {
    const { agent, seen } = await world();
    await agent.mount.create("large", noise(3_000_000, 1));
    await agent.flush();
    expect(agent.trouble?.code).toBe("over_quota");
    await agent.mount.makeDirectory("later");
    await agent.flush();
    expect(agent.trouble?.code).toBe("over_quota");
    await agent.mount.unlink("large");
    await agent.flush();
    expect(agent.trouble).toBeUndefined();
    expect(await seen()).toEqual(["later"]);
  });

  test.each([
    ["deleted after a restart", false],
    ["deleted before a restart", true],
  ])("and is %s does not either", async (_, before) => {
    const { agent, seen } = await world();
    await agent.mount.create("large", noise(3_000_000, 1));
    await agent.flush();
    await agent.mount.makeDirectory("later");
    if (before) await agent.mount.unlink("large");
    await agent.restart();
    await agent.flush();
    expect(agent.trouble?.code).toBe("over_quota");
    if (!before) await agent.mount.unlink("large");
    await agent.flush();
    expect(agent.trouble).toBeUndefined();
    expect(await seen()).toEqual(["later"]);
  });
});
