/** What an agent does about the history of a bucket at a master: it thins it with the collector's device, and can be stopped. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { openBucket } from "../../../src/agent/open-bucket.ts";
import { prepareCollector, thinHistory } from "../../../src/agent/collector.ts";
import { startCollecting } from "../../../src/agent/threads/start-collecting.ts";
import { collectorDirOf } from "../../../src/agent/state/state-dir.ts";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { openAtMaster } from "../../../src/bucket/open-remote.ts";
import { parseAddress } from "../../../src/bucket/address.ts";
import { openWriter } from "../../../src/bucket/writer.ts";
import { sourceOfBytes } from "../../../src/bucket/writer/file-source.ts";
import { type MasterAccess, masterAccess } from "../../../src/net/access.ts";
import { LOOK_MS } from "../../../src/net/live-pool.ts";
import { name } from "../../support/epochs.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";
import { createBucket, newWriter, OWNER } from "../../support/test-bucket.ts";
import { startTestMaster, type TestMaster } from "../../support/test-master.ts";

const HOUR_MS = 3600 * 1000;
const COMMITS = 12;

let shiftMs: number;
let clock: Clock;
let master: TestMaster;
let access: MasterAccess;
let address: string;
let stateDir: string;

beforeEach(async () => {
  shiftMs = 0;
  clock = {
    ...systemClock,
    nowNs: () => systemClock.nowNs() + BigInt(shiftMs) * 1_000_000n,
    // Its jumps are no sleep of this machine, which would cut off requests.
    after: (ms, action) => (ms === LOOK_MS ? { [Symbol.dispose]() {} } : systemClock.after(ms, action)),
  };
  master = await startTestMaster({ clock });
  access = masterAccess({ wallet: async () => OWNER, clock });
  address = `${master.origin}/notes`;
  stateDir = await temporaryFolder();
});
afterEach(() => master.stop());

test("the collector thins the history of a bucket at a master", async () => {
  await fill();
  const { report, mark } = await thinHistory(options(), undefined, COMMITS / 2, new AbortController().signal);
  expect(report?.commits).toEqual({ before: COMMITS + 3, after: 6 });
  await using opened = await openBucket({ ...options(), witness: undefined });
  const { commit } = await opened.bucket.head();
  expect(commit.body.seq).toBe(mark.seq);
  expect((await opened.bucket.heads.all(commit.body)).size).toBeGreaterThan(1);
});

test("the collector stops at once when told to, even while the master is silent", async () => {
  await fill();
  const stop = new AbortController();
  const silent: MasterAccess = { ...access, bearer: () => ({ token: () => new Promise(() => {}), refused: () => {} }) };
  const thinning = thinHistory({ ...options(), access: silent }, undefined, 1, stop.signal);
  stop.abort(new Error("enough"));
  await expect(thinning).rejects.toThrow("enough");
});

test("without its device the collector reports what is missing", async () => {
  await fill(false);
  const thinning = thinHistory(options(), undefined, 1, new AbortController().signal);
  await expect(thinning).rejects.toMatchObject({ code: "device_not_certified" });
});

test("the collector's device gets a new certificate while its agent runs", async () => {
  await fill();
  shiftMs += 400 * 24 * HOUR_MS;
  const random = { ...systemRandom, fraction: () => 0 };
  const agent = { ...options(), stateDir, wallet: async () => OWNER, random };
  await using opened = await openBucket({ ...agent, witness: undefined });
  const { commit } = await opened.bucket.head();
  const collection = startCollecting(
    agent,
    opened.bucket.genesis,
    () => commit.body.seq,
    () => {},
  );
  await using _ = collection;
  await collection.look();
  expect(collection.state()).toMatchObject({ running: false, error: undefined });
});

function options() {
  const state = { stateDir: collectorDirOf(stateDir), stateRoot: stateDir };
  return { address, access, ...state, clock, random: systemRandom, log: silentLog };
}

/** Commits of a quarter of an hour each, and then days in which little happens. */
async function fill(prepares = true): Promise<void> {
  const parsed = parseAddress(address);
  if (parsed.isPacked) throw new Error("not at a master");
  await using remote = await openAtMaster(parsed, { clock, random: systemRandom, access });
  const bucket = await createBucket(remote, 1, clock);
  const context = { ...(await newWriter(bucket, 50)), clock };
  const pauses = [...Array<number>(COMMITS).fill(HOUR_MS / 4), 72 * HOUR_MS, 30 * HOUR_MS];
  for (const [epoch, pauseMs] of pauses.entries()) {
    shiftMs += pauseMs;
    await using writer = await openWriter(context, epoch + 1);
    await writer.putFile([name("file")], sourceOfBytes(Buffer.from(`${epoch}`)), { mode: 0o644, uid: 0, gid: 0 });
    expect((await writer.publish()).kind).toBe("published");
  }
  const wallet = async () => OWNER;
  if (prepares) await prepareCollector({ stateDir, genesis: bucket.genesis, wallet, clock, random: systemRandom });
}
