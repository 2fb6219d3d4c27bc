/** A running agent's device at a master, which refuses certificates that have expired by its clock. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { openToWrite } from "../../../src/agent/writing-bucket.ts";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { SynclineError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { parseAddress } from "../../../src/bucket/address.ts";
import { openAtMaster } from "../../../src/bucket/open-remote.ts";
import { publishEpoch } from "../../../src/bucket/publish.ts";
import type { WalletSigner } from "../../../src/crypto/wallet.ts";
import { type MasterAccess, masterAccess } from "../../../src/net/access.ts";
import { epochOf } from "../../support/epochs.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";
import { createBucket, OWNER } from "../../support/test-bucket.ts";
import { startTestMaster, type TestMaster } from "../../support/test-master.ts";

const HOUR_MS = 60 * 60 * 1000;
const YEAR_MS = 365 * 24 * HOUR_MS;

/** How far all clocks are ahead, and how far this machine's is behind them. */
let shiftMs: number;
let behindMs: number;
let master: TestMaster;
let access: MasterAccess;
let wallet: () => Promise<WalletSigner>;

const shifted = (byMs: () => number): Clock => ({
  ...systemClock,
  nowNs: () => systemClock.nowNs() + BigInt(byMs()) * 1_000_000n,
  monotonicMs: () => systemClock.monotonicMs() + shiftMs,
});
const trueClock = shifted(() => shiftMs);
const clock = shifted(() => shiftMs - behindMs);

beforeEach(async () => {
  [shiftMs, behindMs] = [0, 0];
  wallet = async () => OWNER;
  master = await startTestMaster({ clock: trueClock });
  access = masterAccess({ wallet: async () => OWNER, clock: trueClock });
});
afterEach(() => master.stop());

async function writingAgent() {
  const address = `${master.origin}/notes`;
  const parsed = parseAddress(address);
  if (parsed.isPacked) throw new Error("not at a master");
  const created = await openAtMaster(parsed, { clock, random: systemRandom, access });
  await createBucket(created, 1, clock);
  await created[Symbol.asyncDispose]();
  const ports = { clock, random: systemRandom, log: silentLog };
  const stateDir = await temporaryFolder();
  const { opened, writer } = await openToWrite({
    ...ports,
    address,
    stateDir,
    access,
    witness: undefined,
    wallet: () => wallet(),
  });
  const { bucket } = opened;
  let epoch = 0;
  const publish = async () => {
    const { cid: commit, body } = (await bucket.head()).commit;
    const edit = { ino: 2 + epoch, names: [[1, `file ${epoch}`]] as [number, string][], bytes: Buffer.from("text") };
    const { changes, data } = epochOf({ commit, seq: body.seq }, ++epoch, [edit]);
    return (await writer.as((author) => publishEpoch({ bucket, writer: author, ...ports }, changes, data))).kind;
  };
  return { writer, publish, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
}

test("an agent that runs for years keeps publishing with the same device key", async () => {
  await using agent = await writingAgent();
  const { device } = agent.writer.writer;
  expect(await agent.publish()).toBe("published");
  for (let year = 0; year < 3; year++) {
    shiftMs += 1.1 * YEAR_MS;
    expect(await agent.publish()).toBe("published");
  }
  expect(agent.writer.writer.device).toEqual(device);
});

test("while the wallet is out of reach, an expired certificate says to restart the agent; later it is renewed", async () => {
  await using agent = await writingAgent();
  wallet = () => Promise.reject(new SynclineError("key_locked", "Nobody types."));
  shiftMs += 1.1 * YEAR_MS;
  await expect(agent.publish()).rejects.toMatchObject({
    code: "device_not_certified",
    message: expect.stringContaining("Nobody types.") as string,
    hint: expect.stringContaining("Restart the agent") as string,
  });
  wallet = async () => OWNER;
  shiftMs += 2 * HOUR_MS;
  expect(await agent.publish()).toBe("published");
});

test("a first start with a clock far behind is refused with the clock's time, and publishes once the clock is right", async () => {
  behindMs = 20 * YEAR_MS;
  await using agent = await writingAgent();
  const year = new Date(Date.now() - behindMs).getUTCFullYear();
  await expect(agent.publish()).rejects.toMatchObject({
    code: "device_not_certified",
    hint: expect.stringContaining(`says ${year}`) as string,
  });
  behindMs = 0;
  expect(await agent.publish()).toBe("published");
});

test("a certificate that is valid by this machine's clock only is renewed when the master refuses it", async () => {
  await using agent = await writingAgent();
  shiftMs += 1.1 * YEAR_MS;
  behindMs = 0.3 * YEAR_MS;
  expect(await agent.publish()).toBe("published");
});
