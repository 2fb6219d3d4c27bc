/** Thinning the history of a bucket at a master over HTTP, and having the master collect: what `syncline gc` does there. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Clock } from "../../../src/base/clock.ts";
import { systemClock } from "../../../src/base/clock.ts";
import type { Bucket } from "../../../src/bucket/bucket.ts";
import { thinIfNeeded } from "../../../src/bucket/gc/need.ts";
import { thin } from "../../../src/bucket/gc/thin.ts";
import { HttpRemote } from "../../../src/bucket/http/http-remote.ts";
import { verifyBucket } from "../../../src/bucket/verify.ts";
import { openWriter, type WriterPublication } from "../../../src/bucket/writer.ts";
import { sourceOfBytes } from "../../../src/bucket/writer/file-source.ts";
import { DEFAULT_POLICY } from "../../../src/format/commits/policy.ts";
import { DEFAULT_RETENTION } from "../../../src/format/commits/retention.ts";
import { auditData } from "../../../src/master/store/audit.ts";
import { systemPackDisk } from "../../../src/master/store/pack-disk.ts";
import { walletBearer } from "../../../src/net/bearer.ts";
import { MasterConnection } from "../../../src/net/master-connection.ts";
import { noise } from "../../support/bytes.ts";
import { name } from "../../support/epochs.ts";
import { createBucket, newWriter, OWNER, pathsOf, seededRandom } from "../../support/test-bucket.ts";
import { alice, startTestMaster, type TestMaster } from "../../support/test-master.ts";

const DAY_MS = 24 * 3600 * 1000;
const QUARTER_MS = DAY_MS / 96;
const FILE_BYTES = 200_000;

let shiftMs: number;
let clock: Clock;
let master: TestMaster;
let remote: HttpRemote;
let bucket: Bucket;

beforeEach(async () => {
  shiftMs = 0;
  clock = { ...systemClock, nowNs: () => systemClock.nowNs() + BigInt(shiftMs) * 1_000_000n };
  master = await startTestMaster({ clock });
  remote = open("photos");
  bucket = await createBucket(remote, 1, clock);
});
afterEach(async () => {
  await remote[Symbol.asyncDispose]();
  await master.stop();
});

describe("a bucket at a master", () => {
  test("frees the space of what is no longer retained, and shows what it showed before", async () => {
    await publish(12);
    shiftMs += 3 * DAY_MS;
    await publish(1);
    // A leap of the clock is believed once another day has passed.
    shiftMs += 1.1 * DAY_MS;
    await publish(1);
    const before = await shown();
    const options = await thinning();
    const dry = await thin({ ...options, dryRun: true });
    expect(dry.swaps).toBe(0);
    const { commits, swaps } = await thin({ ...options, dryRun: false });
    expect({ commits, swaps }).toEqual({ commits: dry.commits, swaps: 1 });
    expect(commits.after).toBeLessThan(commits.before - 5);
    shiftMs += 2 * DAY_MS;
    const planned = await remote.collect({ dryRun: true });
    const report = await remote.collect({ dryRun: false });
    expect(report).toMatchObject({ bytes: planned.bytes, dropped: planned.dropped });
    expect(report.bytes.after).toBeLessThan(report.bytes.before - 5 * FILE_BYTES);
    expect(await shown()).toEqual(before);
    const { damage } = await verifyBucket(bucket, { blocks: remote.blocks });
    expect(damage).toEqual([]);
    // The next one finds its ancestors, and what is left to thin is nothing.
    await publish(1);
    expect((await remote.collect({ dryRun: false })).bytes.after).toBeGreaterThan(0);
    await master.stop();
    expect((await auditData({ dir: master.data, disk: systemPackDisk, onBytes: () => {} })).damage).toEqual([]);
  }, 120_000);

  test("whose history needs no thinning is left unchanged", async () => {
    await publish(2);
    const root = await remote.readRoot();
    const report = await thin({ ...(await thinning()), dryRun: false });
    expect(report).toEqual({ retention: DEFAULT_RETENTION, seq: 3, commits: { before: 3, after: 3 }, swaps: 0 });
    expect(await remote.readRoot()).toEqual(root);
  });

  test("is thinned by the rule in its newest root", async () => {
    await publish(12);
    shiftMs += 3 * DAY_MS;
    await publish(1);
    shiftMs += 1.1 * DAY_MS;
    await publish(1);
    const options = { ...(await thinning()), dryRun: true };
    expect((await thin(options)).commits.after).toBeLessThan(10);
    const longer = { ...DEFAULT_RETENTION, all: 5 * 86_400 };
    await publish(1, { policy: (policy) => ({ ...policy, retention: longer }) });
    const report = await thin(options);
    expect(report.retention).toEqual(longer);
    expect(report.commits.after).toBe(report.commits.before);
    await publish(1);
    expect((await thin(options)).commits.after).toBe(report.commits.before + 1);
    await publish(1, { policy: () => DEFAULT_POLICY });
    expect((await thin(options)).commits.after).toBeLessThan(10);
  });

  test("is thinned by an agent once enough commits would go, and not again for the same commits", async () => {
    await publish(12);
    await passDays();
    const options = await thinning();
    expect((await thinIfNeeded(options, undefined, 100)).report).toBeUndefined();
    const known = await thinIfNeeded(options, undefined, 100);
    const { mark, report } = await thinIfNeeded(options, undefined, 5);
    expect(report?.commits.after).toBeLessThan(10);
    expect(mark.gcEpoch).toBeGreaterThan(known.mark.gcEpoch);
    await publish(12);
    await passDays();
    // Another agent, which knows nothing of the last time.
    expect(await thinIfNeeded(options, known.mark, 5)).toEqual({ mark: { gcEpoch: mark.gcEpoch, seq: mark.seq + 14 } });
    const again = await thinIfNeeded(options, mark, 5);
    expect(again.report?.commits.before).toBeGreaterThan(again.report?.commits.after ?? Infinity);
    const root = await remote.readRoot();
    expect(await thinIfNeeded(options, again.mark, 5)).toEqual({ mark: again.mark });
    expect(await remote.readRoot()).toEqual(root);
    expect((await verifyBucket(bucket, { blocks: remote.blocks })).damage).toEqual([]);
  });

  test("has a collection repeated that a restart of the master interrupted", async () => {
    await publish(1);
    const answers = [
      { running: true, progress: { blocks: 1, of: 2 } },
      { running: false, collected: null, preview: null },
    ];
    const asked: string[] = [];
    const through = connected();
    const call = through.call.bind(through);
    through.call = async (request) => {
      asked.push(request.method);
      const answer = await call(request);
      const instead = request.method === "GET" && request.path === "/v1/collection" ? answers.shift() : undefined;
      return instead === undefined ? answer : { ...answer, status: 200, json: async () => instead };
    };
    const ports = { clock, random: seededRandom(3) };
    await using other = new HttpRemote({
      address: "",
      master: through,
      name: { owner: "", bucket: "photos" },
      ...ports,
    });
    const progress: unknown[] = [];
    const onProgress = (found: unknown) => progress.push(found);
    expect(await other.collect({ dryRun: false, onProgress })).toMatchObject({ dropped: 0 });
    expect(progress[0]).toEqual({ blocks: 1, of: 2 });
    expect(asked.filter((method) => method === "POST")).toHaveLength(2);
  });
});

test("how much a walk will read is known if the wallet has a single bucket", async () => {
  await publish(3);
  const { bytes } = await verifyBucket(bucket, { blocks: remote.blocks });
  const stored = (await remote.storedBytes()) ?? 0;
  expect(stored).toBeGreaterThanOrEqual(bytes);
  expect(stored).toBeLessThan(bytes * 1.01);
  await using other = open("notes");
  expect(await other.storedBytes()).toBeUndefined();
  await createBucket(other, 2, clock);
  expect(await remote.storedBytes()).toBeUndefined();
});

test("nobody sees or starts another's collections", async () => {
  await publish(1);
  const begun = await master.call("/v1/collection", { method: "POST", body: "{}" }, OWNER);
  const counter = expect.any(String) as string;
  expect([begun.status, await begun.json()]).toEqual([202, { counter, number: 1 }]);
  const seen = await master.call("/v1/collection", {}, alice);
  expect(await seen.json()).toEqual({ counter, running: false, progress: null, collected: null, preview: null });
  for (const body of ['{"dryRun":1}', '{"dryrun":true}', "1", "[]", "null"]) {
    const malformed = await master.call("/v1/collection", { method: "POST", body }, OWNER);
    expect([body, malformed.status]).toEqual([body, 400]);
  }
});

/** To a connection, a leap of the clock would be a sleep of the machine. */
function connected(): MasterConnection {
  return new MasterConnection(master.origin, { bearer: walletBearer(async () => OWNER, clock), clock: systemClock });
}

function open(named: string): HttpRemote {
  const ports = { clock, random: seededRandom(2) };
  return new HttpRemote({ address: named, master: connected(), name: { owner: "", bucket: named }, ...ports });
}

/** Commits a quarter of an hour apart, each of which changes one file. */
async function publish(count: number, publication?: WriterPublication): Promise<void> {
  const context = { ...(await newWriter(bucket, 50)), clock };
  let epoch: number = (await bucket.head()).commit.body.seq;
  for (let round = 0; round < count; round++) {
    shiftMs += QUARTER_MS;
    await using writer = await openWriter(context, ++epoch);
    await writer.putFile([name("changing")], sourceOfBytes(noise(FILE_BYTES, epoch)), { mode: 0o644, uid: 0, gid: 0 });
    expect((await writer.publish("", publication)).kind).toBe("published");
  }
}

/** A leap of the clock is believed once another day has passed. */
async function passDays(): Promise<void> {
  for (const days of [3, 1.1]) {
    shiftMs += days * DAY_MS;
    await publish(1);
  }
}

async function thinning() {
  const { writer } = await newWriter(bucket, 77);
  return { bucket, writer, clock, random: seededRandom(9) };
}

async function shown() {
  return pathsOf(bucket, (await bucket.head()).commit.body.tree);
}
