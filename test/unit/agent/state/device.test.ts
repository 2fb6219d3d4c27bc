import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openDevice, replaceDevice, type Device } from "../../../../src/agent/state/device.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { walletSigner } from "../../../../src/crypto/wallet.ts";
import type { Genesis } from "../../../../src/format/commits/genesis.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { createBucket, OWNER } from "../../../support/test-bucket.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

async function genesisOf(seed: number): Promise<Genesis> {
  return (await createBucket(new MemoryRemote(), seed)).genesis;
}

async function world() {
  const clock = new ManualClock();
  const asked = { times: 0, signer: async () => OWNER };
  const wallet = () => {
    asked.times++;
    return asked.signer();
  };
  const stateDir = await temporaryFolder();
  const setup = { stateDir, genesis: await genesisOf(1), wallet, clock, random: systemRandom };
  return { clock, asked, setup, file: join(stateDir, "device.json") };
}

/** What makes a device this one, as plain values. */
function factsOf({ key, certificate }: Device) {
  return { seed: Buffer.from(key.seed).toString("hex"), certificate: certificate.cid };
}

describe("a state's device", () => {
  test("is created and certified once, in a file that only its owner can read", async () => {
    const { asked, setup, file } = await world();
    const made = await openDevice(setup);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const again = await openDevice(setup);
    expect(factsOf(again)).toEqual(factsOf(made));
    expect(asked.times).toBe(1);
    expect(made.certificate.writer).toBe(made.key.writer);
    expect(made.certificate.body.wallet).toBe(setup.genesis.body.owner);
  });

  test("gets a new certificate for the same key in the last month of the old one", async () => {
    const { clock, asked, setup } = await world();
    const made = await openDevice(setup);
    await clock.advance(334 * DAY_MS);
    expect(factsOf(await openDevice(setup))).toEqual(factsOf(made));
    await clock.advance(2 * DAY_MS);
    const renewed = await openDevice(setup);
    expect(factsOf(renewed).seed).toBe(factsOf(made).seed);
    expect(renewed.certificate.body.notAfter).toBeGreaterThan(made.certificate.body.notAfter);
    expect(asked.times).toBe(2);
  });

  test("keeps its certificate while the wallet is unavailable, until the certificate expires, or while programs wait", async () => {
    const { clock, asked, setup } = await world();
    const made = await openDevice(setup);
    asked.signer = () => Promise.reject(new SynclineError("key_locked", "Nobody types."));
    await clock.advance(350 * DAY_MS);
    expect(factsOf(await openDevice(setup))).toEqual(factsOf(made));
    await clock.advance(20 * DAY_MS);
    await expect(openDevice(setup)).rejects.toMatchObject({ code: "key_locked" });
    const { times } = asked;
    expect(factsOf(await openDevice(setup, false))).toEqual(factsOf(made));
    expect(asked.times).toBe(times);
  });

  test("is replaced on demand by one with another key", async () => {
    const { setup } = await world();
    const made = await openDevice(setup);
    const replaced = await replaceDevice(setup);
    expect(replaced.key.writer).not.toBe(made.key.writer);
    expect(factsOf(await openDevice(setup))).toEqual(factsOf(replaced));
  });

  test("that belongs to a bucket formerly at the address is replaced", async () => {
    const { setup } = await world();
    const made = await openDevice(setup);
    const there = await openDevice({ ...setup, genesis: await genesisOf(2) });
    expect(there.key.writer).not.toBe(made.key.writer);
  });

  test("needs the owner's wallet; with another wallet nothing is written", async () => {
    const { asked, setup, file } = await world();
    asked.signer = async () => walletSigner(new Uint8Array(32).fill(8));
    await expect(openDevice(setup)).rejects.toMatchObject({
      code: "device_not_certified",
      hint: expect.stringContaining("--key") as string,
    });
    expect(() => readFileSync(file)).toThrow(/ENOENT/);
  });

  test.each([
    ["torn", (text: string) => text.slice(0, text.length / 2)],
    ["empty", () => ""],
    ["with another key's seed", (text: string) => text.replace(/"seed":"[0-9a-f]{64}"/, `"seed":"${"07".repeat(32)}"`)],
    [
      "with a changed certificate",
      (text: string) => text.replace(/(?<="certificate":".{40})./, (char) => (char === "A" ? "B" : "A")),
    ],
  ])("%s: the file is refused, named and left unchanged", async (_, damage) => {
    const { setup, file } = await world();
    await openDevice(setup);
    const damaged = damage(readFileSync(file, "utf8"));
    writeFileSync(file, damaged);
    await expect(openDevice(setup)).rejects.toMatchObject({
      code: "state_corrupt",
      message: expect.stringContaining(file) as string,
    });
    expect(readFileSync(file, "utf8")).toBe(damaged);
  });
});
