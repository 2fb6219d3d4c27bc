/** The thread on which an agent collects, as it is built: it does its work, stops when it is told to, and its failures are errors. */
import { mkdirSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { prepareCollector } from "../../src/agent/collector.ts";
import { collectorDirOf } from "../../src/agent/state/state-dir.ts";
import type * as CollectorThread from "../../src/agent/threads/collector-thread.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog as log } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import { openToWrite } from "../../src/agent/writing-bucket.ts";
import { openWriter } from "../../src/bucket/writer.ts";
import { sourceOfBytes } from "../../src/bucket/writer/file-source.ts";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { name } from "../support/epochs.ts";
import { Workspace } from "../support/syncline.ts";

const built = pathToFileURL(resolve(import.meta.dirname, "../../dist/agent/threads/collector-thread.js")).href;
/** So many that the bucket gets smaller: the old lists of retained roots are most of the garbage. */
const PUTS = 120;
const ports = { clock: systemClock, random: systemRandom };
const wallet = async () => walletSigner(new Uint8Array(32).fill(0x42));
let space: Workspace;
let url: string;
let thread: typeof CollectorThread;

beforeAll(async () => {
  space = new Workspace("collector");
  url = space.url("bucket");
  space.do("init", url);
  thread = (await import(built)) as typeof CollectorThread;
  mkdirSync(space.at("writer"));
  const options = { address: url, stateDir: space.at("writer"), witness: undefined, wallet, log, ...ports };
  const { opened, writer } = await openToWrite(options);
  await using _ = opened;
  const { bucket } = opened;
  for (let epoch = 1; epoch <= PUTS; epoch++) {
    await using session = await openWriter({ bucket, writer: writer.writer, log, ...ports }, epoch);
    await session.putFile([name("file")], sourceOfBytes(Buffer.from(`${epoch}`)), { mode: 0o644, uid: 0, gid: 0 });
    await session.publish();
  }
  await prepareCollector({ stateDir: space.path, genesis: bucket.genesis, wallet, ...ports });
});
afterAll(() => space[Symbol.dispose]());

function collect(known: { gcEpoch: number; seq: number } | undefined, many: number, signal?: AbortSignal) {
  const stateRoot = space.at("states");
  const job = {
    address: url,
    stateDir: collectorDirOf(space.path),
    stateRoot,
    trust: { tlsCa: undefined, insecure: false, rates: undefined },
    known,
    many,
  };
  return thread.collectOnThread(job, systemClock, signal ?? new AbortController().signal);
}

test("the collector acts only if that is worthwhile, and skips what another one has collected since", async () => {
  expect(await collect(undefined, 1_000)).toEqual({ mark: { gcEpoch: 0, seq: PUTS + 1 } });
  const { mark, report } = await collect(undefined, 10);
  expect(mark).toEqual({ gcEpoch: 1, seq: PUTS + 3 });
  expect(report?.objects.after).toBeLessThan(12);
  expect(await collect({ gcEpoch: 0, seq: 1 }, 10)).toEqual({ mark });
  expect(space.do("verify", url)).toContain("no problems found");
});

test("the collector stops when told to, and reports why it cannot run", async () => {
  const stop = new AbortController();
  stop.abort(new Error("enough"));
  await expect(collect(undefined, 1, stop.signal)).rejects.toThrow("enough");
  rmSync(collectorDirOf(space.path), { recursive: true });
  await expect(collect(undefined, 1)).rejects.toMatchObject({ code: "device_not_certified" });
});
