/** The genesis in an agent's state, and the one at the bucket's address, where either is damaged. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { openBucket } from "../../../../src/agent/open-bucket.ts";
import { rootFile } from "../../../../src/agent/state/root-file.ts";
import { GENESIS, startOver } from "../../../../src/agent/state/start-over.ts";
import { systemClock } from "../../../../src/base/clock.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { openPacked } from "../../../../src/bucket/open-remote.ts";
import { RootWitness } from "../../../../src/bucket/root-witness.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { createBucket } from "../../../support/test-bucket.ts";

const ports = { clock: systemClock, random: systemRandom };
let folder: string;
let stateDir: string;
let address: string;
let genesis: Cid;

beforeEach(async () => {
  const parent = await temporaryFolder();
  [folder, stateDir] = [join(parent, "bucket"), join(parent, "state")];
  address = `file://${folder}`;
  mkdirSync(stateDir);
  genesis = await create(1);
  writeFileSync(join(stateDir, GENESIS), readFileSync(join(folder, "genesis")));
  await using opened = await open();
  await opened.bucket.head();
});

async function create(seed: number): Promise<Cid> {
  await using remote = await openPacked(address, ports);
  return (await createBucket(remote, seed)).genesis.cid;
}

const memory = () => rootFile(stateDir, address);
const kept = () => readFileSync(join(stateDir, GENESIS));

function open() {
  const witness = new RootWitness(memory(), { accept: false });
  return openBucket({ ...ports, address, log: silentLog, genesis: kept(), witness, patienceMs: 0 });
}

const start = () => startOver({ ...ports, address, stateDir, memory: memory(), accept: false, log: silentLog });

function flip(path: string, at = 100): void {
  const bytes = readFileSync(path);
  writeFileSync(path, bytes.with(at, (bytes[at] ?? 0) ^ 1));
}

test.each([2, 100])("an agent whose kept genesis has a flipped bit in byte %s takes the bucket's", async (at) => {
  flip(join(stateDir, GENESIS), at);
  await start();
  await using opened = await open();
  expect(opened.bucket.genesis.cid).toBe(genesis);
  expect((await opened.bucket.head()).commit.body.genesis).toBe(genesis);
});

test("an agent goes on where the bucket's genesis is damaged, and where its own is, too", async () => {
  flip(join(folder, "genesis"));
  for (let times = 0; times < 2; times++) {
    await start();
    await using opened = await open();
    expect(opened.bucket.genesis.cid).toBe(genesis);
    flip(join(stateDir, GENESIS));
  }
});

test("an agent whose kept genesis is damaged refuses another bucket at the address", async () => {
  flip(join(stateDir, GENESIS));
  rmSync(folder, { recursive: true });
  expect(await create(3)).not.toBe(genesis);
  await start();
  await expect(open()).rejects.toMatchObject({ code: "foreign_bucket" });
});

test("an agent refuses another bucket at the address, and keeps its state", async () => {
  rmSync(folder, { recursive: true });
  await create(3);
  await expect(start()).rejects.toMatchObject({ code: "foreign_bucket" });
  expect(kept().length).toBeGreaterThan(0);
});
