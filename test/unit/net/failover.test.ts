/** Two masters on one storage, each behind a proxy that hangs, refuses, or loses answers. */
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { openRemote } from "../../../src/bucket/open-remote.ts";
import { publishEpoch } from "../../../src/bucket/publish.ts";
import { masterAccess } from "../../../src/net/access.ts";
import { openFolderStorage } from "../../../src/master/store/folder-storage.ts";
import { epochOf } from "../../support/epochs.ts";
import { masterProxy, type MasterProxy } from "../../support/master-proxy.ts";
import { raw } from "../../support/opaque-commits.ts";
import { madeSigned, publishSigned, SignedHistory } from "../../support/signed-history.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";
import { createBucket, newWriter, OWNER, pathsOf } from "../../support/test-bucket.ts";
import { alice, startTestMaster, type TestMaster } from "../../support/test-master.ts";

const ports = { clock: systemClock, random: systemRandom, log: silentLog };

describe("when a master fails", () => {
  test.each(["refuse", "hang"] as const)("calls go on at the other: %s", async (mode) => {
    const { remote, history, first, second } = await twoMasters();
    first.mode = mode;
    await publishSigned(history, remote, "two", [raw("through")]);
    expect(await remote.readRoot()).toMatchObject({ version: 2 });
    expect([first.swaps, second.swaps]).toEqual([1, 1]);
    expect(remote.masters?.()).toMatchObject([
      { address: second.origin, used: true, left: null },
      { address: first.origin, used: false, left: expect.any(String) },
    ]);
  });

  test("it is used again once it is healthy and the other fails", async () => {
    const { remote, history, first, second } = await twoMasters();
    first.mode = "refuse";
    await remote.readRoot();
    first.mode = "pass";
    const isBack = () => remote.readRoot().then(() => remote.masters?.()?.every(({ left }) => left === null));
    await expect.poll(isBack, { timeout: 20_000, interval: 100 }).toBe(true);
    second.mode = "refuse";
    await publishSigned(history, remote, "two");
    expect(first.swaps).toBe(2);
  });

  test("a swap whose answer was lost is found at the other", async () => {
    const { remote, history, first, second } = await twoMasters();
    const swap = await prepared(remote, history);
    first.mode = "cut";
    expect(await swap.swap()).toMatchObject({ kind: "unknown" });
    expect(await remote.readRoot()).toMatchObject({ commit: swap.commit, version: 2 });
    expect([first.swaps, second.swaps]).toEqual([2, 0]);
  });

  test("a swap that never arrived is unknown, and is sent again at the other", async () => {
    const { remote, history, first, second } = await twoMasters();
    const swap = await prepared(remote, history);
    first.mode = "hang";
    expect(await swap.swap()).toMatchObject({ kind: "unknown" });
    expect(await remote.readRoot()).toMatchObject({ version: 1 });
    expect(await swap.swap()).toMatchObject({ kind: "committed", root: { commit: swap.commit, version: 2 } });
    expect([first.swaps, second.swaps]).toEqual([2, 1]);
  });
});

test.each(["refuse", "hang", "cut"] as const)(
  "epochs go on, without conflicts, when a master does: %s",
  async (mode) => {
    const { remote, first } = await twoMasters("both", false);
    const bucket = await createBucket(remote);
    const context = { ...(await newWriter(bucket, 2)), clock: systemClock };
    for (const [epoch, file] of ["before", "during", "after"].entries()) {
      if (file === "during") first.mode = mode;
      const edit = { ino: 2 + epoch, names: [[1, file]] as [number, string][], bytes: Buffer.from(file) };
      const { commit } = await bucket.head();
      const base = { commit: commit.cid, tree: commit.body.tree, seq: commit.body.seq };
      const { changes, data } = epochOf(base, epoch + 1, [edit]);
      expect(await publishEpoch(context, changes, data)).toMatchObject({ kind: "published", conflicts: [] });
    }
    const { body } = (await bucket.head()).commit;
    expect(await pathsOf(bucket, body.tree)).toEqual({ before: "before", during: "during", after: "after" });
  },
);

test("a master teaches the others, of its own scheme only", async () => {
  const { remote, history, first, second } = await twoMasters("first alone");
  await expect.poll(() => remote.masters?.()?.length).toBe(2);
  first.mode = "refuse";
  await publishSigned(history, remote, "two");
  expect(second.swaps).toBe(1);
});

async function prepared(remote: Awaited<ReturnType<typeof openRemote>>, history: SignedHistory) {
  const root = await remote.readRoot();
  if (root === undefined) throw new Error("no root");
  const session = remote.beginUpload();
  onTestFinished(() => session[Symbol.asyncDispose]());
  return session.prepare(root, history.next(root.commit, "swapped"));
}

/** A bucket at both; its creation was the first swap, at the first master. */
async function twoMasters(address: "both" | "first alone" = "both", isMade = true) {
  const storage = await openFolderStorage({ dir: await temporaryFolder(), ...ports });
  const shared = { ...storage, [Symbol.asyncDispose]: async () => {} };
  const proxies: MasterProxy[] = [];
  const names: string[] = [];
  const masters: TestMaster[] = [];
  for (let index = 0; index < 2; index++) {
    const master = await startTestMaster({ storage: shared, allow: [alice.wallet, OWNER.wallet], masters: names });
    masters.push(master);
    proxies.push(await masterProxy(master.origin));
  }
  const [first, second] = proxies as [MasterProxy, MasterProxy];
  names.push(first.origin, "https://127.0.0.1:1", "nonsense", second.origin);
  const access = masterAccess({ wallet: async () => (isMade ? alice : OWNER), clock: systemClock });
  const origins = address === "both" ? `${first.origin},${second.origin.slice("http://".length)}` : first.origin;
  const remote = await openRemote(`${origins}/bucket`, { ...ports, access });
  onTestFinished(async () => {
    await remote[Symbol.asyncDispose]();
    for (const master of masters) await master.stop();
    await storage[Symbol.asyncDispose]();
  });
  const history = await SignedHistory.create();
  if (isMade) await madeSigned(history, async () => remote);
  return { remote, history, first, second };
}
