/** Collecting garbage in an object store: what goes, what stays, and that nothing else can come of a crash at any step. */
import { expect, test } from "vitest";
import { BackgroundCollection } from "../../../../src/agent/threads/background-collection.ts";
import { systemClock, timeText } from "../../../../src/base/clock.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { readCollectionBase } from "../../../../src/bucket/gc/collection-base.ts";
import { ESTIMATE_ERROR_BYTES } from "../../../../src/bucket/gc/estimate.ts";
import { collectIfNeeded } from "../../../../src/bucket/gc/need.ts";
import { keptNodesOf } from "../../../../src/bucket/gc/maintenance.ts";
import { findCommit } from "../../../../src/bucket/find-commit.ts";
import { verifyBucket } from "../../../../src/bucket/verify.ts";
import { openWriter } from "../../../../src/bucket/writer.ts";
import { sourceOfBytes } from "../../../../src/bucket/writer/file-source.ts";
import { PackDirectory } from "../../../../src/bucket/packed/pack-directory.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { commitObjectName } from "../../../../src/format/blocks/object-name.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore, PutOutcome } from "../../../../src/objects/object-store.ts";
import { alteredStore } from "../../../support/altered-store.ts";
import { noise } from "../../../support/bytes.ts";
import {
  collectIn,
  EAGER,
  faultsOf,
  HOUR_MS,
  Hours,
  newStore,
  opened,
  shown,
} from "../../../support/collected-store.ts";
import { name } from "../../../support/epochs.ts";
import { countedStore } from "../../../support/counted-store.ts";
import { mortalStore } from "../../../support/mortal-store.ts";
import { pathsOf } from "../../../support/test-bucket.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;

test("collecting expired history frees its space and leaves the contents of the bucket unchanged", async () => {
  const hours = new Hours();
  const store = await newStore(hours);
  const agent = await opened(store, hours);
  for (let round = 0; round < 37; round++) {
    await agent.put("changing", noise(300_000, round));
    await agent.put(`stays-${round}`, noise(2_000, 100 + round));
    hours.ms += 4 * 24 * HOUR_MS;
  }
  const before = await shown(store, hours);
  const { bucket } = await opened(store, hours);
  const dry = await collectIn(store, hours, { dryRun: true, youngMs: 0 });
  expect(dry.swaps).toBe(0);
  const report = await collectIn(store, hours, { youngMs: 0 });
  expect(await faultsOf(store, hours)).toEqual([]);
  expect(await shown(store, hours)).toEqual(before);
  expect(report.commits.after).toBeLessThan(report.commits.before);
  expect(report.bytes.after).toBeLessThan(report.bytes.before - 5 * 300_000);
  expect(report.objects.after).toBeLessThan(12);
  expect(report.dropped).toBeGreaterThan(50);
  expect(Math.abs(dry.bytes.after - report.bytes.after)).toBeLessThanOrEqual(ESTIMATE_ERROR_BYTES);
  // Each next commit looks for ancestors, of which most are gone: the one at seq 80 for that at 72.
  const fresh = await opened(store, hours);
  for (let after = 0; after < 8; after++) expect(await fresh.put("after", noise(10, after))).toBe("published");
  expect(await faultsOf(store, hours)).toEqual([]);
  // A time before what was thinned out is still found.
  const old = BigInt(hours.ms - 60 * 24 * HOUR_MS) * 1_000_000n;
  const at = await findCommit(bucket, (await bucket.head()).commit, timeText(old), systemClock);
  expect(at.body.timeNs).toBeLessThanOrEqual(old);
  expect(at.body.timeNs).toBeGreaterThan(old - BigInt(6 * 24 * HOUR_MS) * 1_000_000n);
  expect(Object.keys(await pathsOf(bucket, at.body.tree)).length).toBeGreaterThan(10);
});

test("a collection reports how many blocks of the total it has visited, and the steps that it cannot count", async () => {
  const hours = new Hours();
  const store = await newStore(hours);
  const agent = await opened(store, hours);
  for (let write = 0; write < 30; write++) {
    await agent.put("file", noise(300_000, write));
    hours.ms += 8 * 24 * HOUR_MS;
  }
  const told: { blocks: number; of: number }[] = [];
  const steps: string[] = [];
  const onProgress = (progress: { readonly blocks: number; readonly of: number }) => void told.push(progress);
  await collectIn(store, hours, { ...EAGER, onProgress, onStep: (what) => void steps.push(what) });
  const first = told[0]?.of ?? 0;
  expect(first).toBeGreaterThan(told.at(-1)?.blocks ?? Infinity);
  expect(told.every(({ blocks, of }) => blocks > 0 && blocks <= of)).toBe(true);
  expect(steps).toEqual([
    "listing the objects",
    "repacking the live blocks of packs to drop",
    "deleting unneeded objects",
  ]);
});

test("a bucket that a collection would enlarge is left alone, and the dry run says so", async () => {
  const hours = new Hours();
  const store = await newStore(hours);
  const agent = await opened(store, hours);
  for (let write = 0; write < 2; write++) await agent.put("file", noise(100, write));
  hours.ms += 100 * 24 * HOUR_MS;
  await agent.put("file", noise(100, 3));
  const before = await listed(store);
  for (const dryRun of [true, false]) {
    const { isWorth, completed, freedBytes, swaps, dropped, commits, objects, bytes } = await collectIn(store, hours, {
      dryRun,
    });
    expect({ isWorth, completed, freedBytes, swaps, dropped }).toEqual({
      isWorth: false,
      completed: false,
      freedBytes: 0,
      swaps: 0,
      dropped: 0,
    });
    for (const range of [commits, objects, bytes]) expect(range.after).toBe(range.before);
  }
  expect(await listed(store)).toEqual(before);
});

test("an interrupted collection is completed whatever the cost, and the dry run says so", async () => {
  const hours = new Hours();
  const store = await newStore(hours);
  const agent = await opened(store, hours);
  for (let round = 0; round < 5; round++) {
    await agent.put("changing", noise(100_000, round));
    hours.ms += 100 * 24 * HOUR_MS;
  }
  const whole = mortalStore(await copyOf(store, hours), Infinity, true);
  await collectIn(whole.store, hours);
  let interrupted = 0;
  for (let step = 0; step < whole.steps; step++) {
    const copy = await copyOf(store, hours);
    const first = await collectIn(mortalStore(copy, step, true).store, hours).catch(() => undefined);
    const dry = await collectIn(copy, hours, { dryRun: true });
    if (first !== undefined || !dry.completed) continue;
    interrupted++;
    const before = await bytesIn(copy);
    const { completed, isWorth, objects, bytes, freedBytes } = await collectIn(copy, hours);
    expect({ completed, isWorth, objects: objects.after }).toEqual({
      completed: true,
      isWorth: dry.isWorth,
      objects: dry.objects.after,
    });
    expect(Math.abs(bytes.after - dry.bytes.after)).toBeLessThanOrEqual(ESTIMATE_ERROR_BYTES);
    expect(Math.abs(before - (await bytesIn(copy)) - freedBytes)).toBeLessThan(16);
    expect(await faultsOf(copy, hours)).toEqual([]);
  }
  expect(interrupted).toBeGreaterThan(2);
});

test("a collection reports the space that only older roots hold, by their age", async () => {
  const hours = new Hours();
  const store = await newStore(hours);
  const agent = await opened(store, hours);
  const minutesLater = async (minutes: number, seed: number) => {
    hours.ms += minutes * 60_000;
    await agent.put("changing", noise(50_000, seed));
  };
  await agent.put("stays", noise(200_000, 1));
  for (let hour = 0; hour < 4; hour++) await minutesLater(60, 10 + hour);
  for (let minute = 0; minute < 5; minute++) await minutesLater(1, 30 + minute);
  const { held, bytes } = await collectIn(store, hours);
  const [young, ofToday, ...others] = held?.older ?? [];
  expect(others).toEqual([]);
  expect(young).toMatchObject({ withinMs: 15 * 60_000, roots: 5 });
  // The bucket's first root came within the minute of the next one, which has the file that stays.
  expect(ofToday).toMatchObject({ withinMs: 24 * HOUR_MS, roots: 4 });
  const about = (count: number | undefined, expected: number) => {
    expect(count).toBeGreaterThan(expected);
    expect(count).toBeLessThan(expected * 1.2);
  };
  about(held?.newestBytes, 250_000);
  about(young?.bytes, 5 * 50_000);
  about(ofToday?.bytes, 3 * 50_000);
  expect((held?.newestBytes ?? 0) + (young?.bytes ?? 0) + (ofToday?.bytes ?? 0)).toBeLessThan(bytes.after);
});

async function bytesIn(store: ObjectStore): Promise<number> {
  let bytes = 0;
  for await (const { size } of store.list("")) bytes += size;
  return bytes;
}

test("the freed bytes that a collection reports are those gone from the store, whatever others publish meanwhile", async () => {
  const hours = new Hours();
  const quiet = await aged(hours);
  const agent = await opened(quiet, hours);
  for (let round = 0; round < 3; round++) await agent.put("large", noise(250_000, 300 + round));
  for (let day = 0; day < 3; day++) {
    hours.ms += 25 * HOUR_MS;
    await agent.put("late", noise(10, day));
  }
  const busy = await copyOf(quiet, hours);
  const dead = await copyOf(quiet, hours);
  const before = await bytesIn(quiet);
  const alone = await collectIn(quiet, hours, { youngMs: 0 });
  expect(alone.freedBytes).toBeGreaterThan(450_000);
  // But for the digits of the root's number.
  expect(Math.abs(before - (await bytesIn(quiet)) - alone.freedBytes)).toBeLessThan(16);
  const other = await opened(busy, hours);
  const { store, interceptPut } = countedStore(busy);
  interceptPut("run/", async (put) => {
    expect(await other.put("theirs", noise(1_000_000, 1))).toBe("published");
    return put();
  });
  const beside = await collectIn(store, hours, { youngMs: 0 });
  expect(beside.bytes.after).toBeGreaterThan(beside.bytes.before);
  expect(Math.abs(beside.freedBytes - alone.freedBytes)).toBeLessThan(200_000);
  // One that finds what a dead one left counts what it deletes itself.
  const mortal = mortalStore(dead, 12, true);
  await collectIn(mortal.store, hours, { youngMs: 0 }).catch(() => {});
  hours.ms += 50 * HOUR_MS;
  const left = await bytesIn(dead);
  const { freedBytes } = await collectIn(dead, hours, { youngMs: 0 });
  expect(Math.abs(left - (await bytesIn(dead)) - freedBytes)).toBeLessThan(16);
});

test("a verification during a collection finds nothing wrong", async () => {
  const hours = new Hours();
  const store = await aged(hours);
  let all = 0;
  const counting = await copyOf(store, hours);
  const counted: ObjectStore["getRanges"] = (name, ranges) => (all++, counting.getRanges(name, ranges));
  expect(await faultsOf(alteredStore(counting, { getRanges: counted }), hours)).toEqual([]);
  for (const at of [1, all >> 1, all - 1]) {
    const copy = await copyOf(store, hours);
    let [reads, collections] = [0, 0];
    const getRanges: ObjectStore["getRanges"] = async (name, ranges) => {
      if (reads++ === at) {
        collections++;
        await collectIn(copy, hours, EAGER);
      }
      return copy.getRanges(name, ranges);
    };
    expect(await faultsOf(alteredStore(copy, { getRanges }), hours)).toEqual([]);
    expect(collections).toBe(1);
  }
});

test("a collection or verification whose lists of blocks do not fit into memory fails, and changes nothing", async () => {
  const hours = new Hours();
  const store = await aged(hours);
  const before = await listed(store);
  const memoryBytes = 200_000;
  await expect(collectIn(store, hours, { ...EAGER, memoryBytes })).rejects.toMatchObject({ code: "limit_exceeded" });
  expect(await listed(store)).toEqual(before);
  const { bucket, remote } = await opened(store, hours);
  const verified = verifyBucket(bucket, { blocks: remote.blocks, memoryBytes });
  await expect(verified).rejects.toMatchObject({ code: "limit_exceeded" });
  expect((await collectIn(store, hours, { ...EAGER, memoryBytes: 20_000_000 })).dropped).toBeGreaterThan(0);
});

test("leases and bases are removed a day after they expire", async () => {
  const hours = new Hours();
  const store = await newStore(hours);
  const { bucket, put, remote } = await opened(store, hours);
  await put("file", noise(10, 1));
  const { root } = await bucket.head();
  await remote.holdBases([root]);
  const upload = remote.beginUpload();
  for (let index = 0; index < 20; index++) await upload.putContent(chunk(noise(1024 * 1024, index)));
  // Whoever uploads dies here.
  await upload.prepare(root, { commit: chunk(noise(10, 2)), blocks: [] }).catch(() => {});
  const claims = async () => (await listed(store)).filter((name) => /^(lease|bases)\//.test(name));
  expect(await claims()).toHaveLength(2);
  hours.ms += 47 * HOUR_MS;
  await collectIn(store, hours);
  expect(await claims()).toHaveLength(2);
  hours.ms += 2 * HOUR_MS;
  await collectIn(store, hours, { dryRun: true });
  expect(await claims()).toHaveLength(2);
  await collectIn(store, hours);
  expect(await claims()).toEqual([expect.stringMatching(/^bases\//)]);
  hours.ms += 90 * 24 * HOUR_MS;
  await collectIn(store, hours);
  expect(await claims()).toEqual([]);
});

/** A bucket with some history behind it, of which much may go. */
async function aged(hours: Hours): Promise<MemoryObjectStore> {
  const store = await newStore(hours);
  const agent = await opened(store, hours);
  for (let round = 0; round < 5; round++) {
    await agent.put("changing", noise(3_000, round));
    await agent.put(`stays-${round}`, noise(2_000, 100 + round));
    hours.ms += 100 * 24 * HOUR_MS;
  }
  return store;
}

test.each([
  ["is its own", {}, {}],
  ["is its own, and collecting is eager", {}, EAGER],
  ["is another's that builds on its own", { theirs: noise(10, 99) }, {}],
])("a collection whose first swap got no answer finishes if the root %s", async (_, meanwhile, options) => {
  const hours = new Hours();
  const memory = await newStore(hours);
  const other = await opened(memory, hours);
  for (let round = 0; round < 6; round++) {
    await other.put("changing", noise(200_000, round));
    hours.ms += 100 * 24 * HOUR_MS;
  }
  const { store, interceptPut } = countedStore(memory);
  interceptPut("root", async (put) => {
    await put();
    for (const [file, bytes] of Object.entries(meanwhile)) await other.put(file, bytes);
    return { kind: "unknown", cause: new Error("cut") };
  });
  const report = await collectIn(store, hours, options);
  expect(report).toMatchObject({ isWorth: true, swaps: 2 });
  expect(report.dropped).toBeGreaterThan(3);
  expect(report.freedBytes).toBeGreaterThan(0);
  expect((await manifestOf(memory, hours)).dropping).toEqual([]);
  expect(await faultsOf(memory, hours)).toEqual([]);
});

test("a list of packs to drop that could not be cleared is carried over to the next one", async () => {
  const hours = new Hours();
  const memory = await aged(hours);
  const refused = async (): Promise<PutOutcome> => ({ kind: "refused" });
  const first = countedStore(memory);
  first.interceptPut("root", (put) => put());
  for (let attempt = 0; attempt < 32; attempt++) first.interceptPut("root", refused);
  await collectIn(first.store, hours, EAGER);
  const { dropping } = await manifestOf(memory, hours);
  expect(dropping.length).toBeGreaterThan(3);
  const second = countedStore(memory);
  for (let attempt = 0; attempt < 32; attempt++) second.interceptPut("root", refused);
  let carried: readonly string[] = [];
  second.interceptPut("root", async (put) => {
    const outcome = await put();
    carried = (await manifestOf(memory, hours)).dropping;
    return outcome;
  });
  await collectIn(second.store, hours, EAGER);
  expect(carried).toEqual(expect.arrayContaining([...dropping]));
  expect((await manifestOf(memory, hours)).dropping).toEqual([]);
});

async function manifestOf(store: ObjectStore, hours: Hours) {
  const { bucket } = await opened(store, hours);
  return (await readCollectionBase(bucket, new PackDirectory(store))).object.manifest;
}

test("a collection writer that keeps losing the swap writes its run once, and includes what others added", async () => {
  const hours = new Hours();
  const memory = await aged(hours);
  const other = await opened(memory, hours);
  let theirs = 0;
  const { store, take, interceptPut } = countedStore(memory);
  const outrun = async (put: () => Promise<PutOutcome>) => {
    if (++theirs > 5) return put();
    interceptPut("commit/", outrun);
    expect(await other.put(`theirs-${theirs}`, noise(2_000, theirs))).toBe("published");
    return put();
  };
  interceptPut("commit/", outrun);
  await collectIn(store, hours, EAGER);
  expect(theirs).toBeGreaterThan(5);
  expect(take().names.filter((name) => name.startsWith("run/"))).toHaveLength(1);
  expect(await faultsOf(memory, hours)).toEqual([]);
  expect(Object.keys(await shown(memory, hours))).toContain("theirs-5");
});

test("blocks that are needed again while a collection is planned stay", async () => {
  const hours = new Hours();
  const memory = await newStore(hours);
  const other = await opened(memory, hours);
  const again = noise(200_000, 1);
  for (const [index, bytes] of [again, noise(10, 2), noise(10, 3), noise(10, 4)].entries()) {
    await other.put("file", bytes);
    await other.put(`other-${index}`, noise(500, 10 + index));
    hours.ms += 100 * 24 * HOUR_MS;
  }
  const { store, take, interceptPut } = countedStore(memory);
  interceptPut("run/", async (put) => {
    expect(await other.put("back", again)).toBe("published");
    return put();
  });
  const { dropped } = await collectIn(store, hours, EAGER);
  expect(dropped).toBeGreaterThan(0);
  expect(take().names.filter((name) => name.startsWith("run/"))).toHaveLength(2);
  expect(await faultsOf(memory, hours)).toEqual([]);
  expect((await shown(memory, hours))["back"]).toBe(Buffer.from(again).toString());
});

test("a block in two packs of which one is damaged stays in the other", async () => {
  const hours = new Hours();
  const memory = await newStore(hours);
  const photo = noise(9 * 1024 * 1024, 1);
  const [a, b] = [await opened(memory, hours), await opened(memory, hours)];
  await using writerA = await openWriter(a.context, 1);
  await using writerB = await openWriter(b.context, 1);
  for (const [writer, file] of [[writerA, "a"] as const, [writerB, "b"] as const])
    await writer.putFile([name(file)], sourceOfBytes(photo), { mode: 0o644, uid: 0, gid: 0 });
  await Promise.all([writerA.publish(""), writerB.publish("")]);
  const damaged = (await manifestOf(memory, hours)).loose.findLast(({ name }) => name.startsWith("pack/"))?.name ?? "";
  const object = await memory.get(damaged);
  const bytes = Uint8Array.from(object?.bytes ?? []);
  bytes.fill(0, 5_000_000, 5_000_001);
  bytes.fill(255, 6_000_000, 6_000_001);
  await memory.putIfMatch(damaged, [bytes], object?.token ?? "");
  hours.ms += 2 * HOUR_MS;
  expect((await collectIn(memory, hours, EAGER)).dropped).toBeGreaterThan(0);
  expect((await shown(memory, hours))["a"]).toBe(Buffer.from(photo).toString());
});

function chunk(bytes: Uint8Array) {
  return { cid: cidOf("raw", bytes), bytes };
}

async function copyOf(store: ObjectStore, hours: Hours): Promise<MemoryObjectStore> {
  const copy = new MemoryObjectStore("memory:", () => hours.ms);
  for (const name of await listed(store)) await copy.putNew(name, [(await store.get(name))?.bytes ?? new Uint8Array()]);
  return copy;
}

async function listed(store: ObjectStore): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list("")) names.push(name);
  return names;
}

/** A lease is given up in so many steps: read, replaced or deleted. */
const LEASE_STEPS = 3;

test.each([
  ["before", false],
  ["behind", true],
])(
  "a collector that dies %s any step leaves a sound bucket, and the next one cleans up",
  async (_, done) => {
    const hours = new Hours();
    const old = await aged(hours);
    const before = await shown(old, hours);
    const whole = await copyOf(old, hours);
    const counted = mortalStore(whole, Infinity, done);
    await collectIn(counted.store, hours, EAGER);
    const clean = (await listed(whole)).length;
    expect(counted.steps).toBeGreaterThan(15);
    for (let step = 0; step < counted.steps; step += HEAVY ? 1 : 3) {
      const store = await copyOf(old, hours);
      const collecting = collectIn(mortalStore(store, step, done).store, hours, EAGER);
      // What is left for the end, its lease, may stay behind: that is no failure.
      const end = await collecting.then(() => "done", String);
      expect(end).toMatch(step < counted.steps - LEASE_STEPS ? /died|dead|store/ : /died|dead|store|done/);
      expect(await faultsOf(store, hours)).toEqual([]);
      expect(await shown(store, hours)).toEqual(before);
      // What the dead one had leased is free after a day.
      const later = Object.assign(new Hours(), { ms: hours.ms + 25 * HOUR_MS });
      expect(await (await opened(store, later)).put("later", noise(10, 1))).toBe("published");
      await collectIn(store, later, EAGER);
      expect(await faultsOf(store, later)).toEqual([]);
      expect(await shown(store, later)).toMatchObject(before);
      const left = (await listed(store)).filter((name) => !name.startsWith("lease/"));
      expect(left.length).toBeLessThanOrEqual(clean + 3);
    }
  },
  240_000,
);

/**
 * Mounts that flush every so often for some days, and collect by themselves. SYNCLINE_TEST_MONTH=S: a month of a flush every S
 * seconds, which takes a core for (180 / S) minutes or so; with SYNCLINE_TEST_DAYS=D it is D days instead of 30.
 */
const MONTH_S = Number(process.env["SYNCLINE_TEST_MONTH"] ?? 0);
const DAYS = Number(process.env["SYNCLINE_TEST_DAYS"] ?? 30);
const LONG = longRuns();

function longRuns(): [days: number, everyS: number][] {
  if (MONTH_S > 0) return [[DAYS, MONTH_S]];
  if (!HEAVY) return [[6, 1_200]];
  return [
    [30, 300],
    [2, 10],
  ];
}

test.each(LONG)(
  "%d days of a mount that flushes every %d s leave few objects",
  async (days, everyS) => {
    const hours = new Hours();
    const store = await newStore(hours);
    const agent = await opened(store, hours);
    await using background = await collectingBy(store, hours, async () => (await agent.bucket.head()).commit.body.seq);
    const flushes = (days * DAY_S) / everyS;
    const written = { most: 0, collections: 0, repacked: 0 };
    for (let flush = 1; flush <= flushes; flush++) {
      hours.ms += everyS * 1_000;
      await agent.put(`f${flush % 50}`, noise(3_000, flush));
      if ((flush * everyS) % LOOK_S !== 0) continue;
      const objects = (await listed(store)).length;
      written.most = Math.max(written.most, objects);
      if (MONTH_S > 0 && (flush * everyS) % DAY_S === 0)
        console.log(`day ${(flush * everyS) / DAY_S}: ${objects} objects, ${written.collections} collections`);
      const before = background.state().last;
      await background.look();
      const { last, error } = background.state();
      expect(error).toBeUndefined();
      if (last === undefined || last === before) continue;
      written.collections++;
      written.repacked += "repackedBytes" in last.report ? last.report.repackedBytes : 0;
    }
    const { objects, bytes, commits, held } = await collectIn(store, hours, { dryRun: true });
    const { root, commit } = await agent.bucket.head();
    const commitBytes = (await store.head(commitObjectName(root.commit)))?.size;
    const list = await agent.bucket.blocks.getMany(await keptNodesOf(agent.bucket.blocks, commit.body.kept));
    const listBytes = [...list.values()].reduce((sum, node) => sum + node.length, 0);
    console.log(
      `${flushes} flushes, ${written.collections} collections by itself: at most ${written.most} objects, ${objects.before} at the end, ` +
        `${bytes.before} bytes, ${commits.before} retained roots; ${written.repacked} bytes written by collecting; ` +
        `the newest commit object has ${commitBytes} bytes, the whole list of retained roots ${listBytes}; held: ${JSON.stringify(held)}`,
    );
    expect(await faultsOf(store, hours)).toEqual([]);
    const day = DAY_S / everyS;
    // Two days, or twice as many commits as it waits for, whichever is less; and what a collection leaves.
    expect(written.most).toBeLessThan(Math.min(2 * day, Math.max(1_024, day / 2)) * 1.2 + 60);
    expect(commits.before).toBeLessThan(3 * day + 7 * 24 + days + 5);
    expect(bytes.before).toBeLessThan((3 * day + 7 * 24 + days) * 40_000);
  },
  MONTH_S > 0 ? 24 * HOUR_MS : HEAVY ? HOUR_MS : 240_000,
);

const DAY_S = 24 * 3_600;

/** How often the agent looks whether it is to collect. */
const LOOK_S = 1_200;

async function collectingBy(store: ObjectStore, hours: Hours, seqNow: () => Promise<number>) {
  const { bucket, context } = await opened(store, hours);
  const { writer, clock, random } = context;
  let seq = await seqNow();
  const background = new BackgroundCollection({
    seq: () => seq,
    collect: (known, many) => collectIfNeeded({ bucket, store, writer, clock, random }, known, many),
    record: undefined,
    keep: () => {},
    clock: { ...clock, after: () => ({ [Symbol.dispose]: () => {} }) },
    random,
    log: silentLog,
  });
  return {
    state: () => background.state(),
    look: async () => {
      seq = await seqNow();
      await background.look();
    },
    [Symbol.asyncDispose]: () => background[Symbol.asyncDispose](),
  };
}
