import { execFileSync } from "node:child_process";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { releasingReader } from "../../../src/agent/threads/releasing-reader.ts";
import { collectGarbage, IdleRelease, NODE_FLAGS, objectsInMemory } from "../../../src/runtime/memory.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { BlockMap } from "../../support/block-map.ts";
import { ManualClock } from "../../support/manual-clock.ts";

test("memory is released after many block reads, single or batched, but not after a few", async () => {
  const bytes = Buffer.from("a block");
  const cid = cidOf("raw", bytes);
  const blocks = new BlockMap();
  blocks.put({ cid, bytes });
  let notes = 0;
  const reader = releasingReader(blocks, { note: () => void notes++ });
  for (let read = 0; read < 155; read++) expect(await reader.get(cid)).toEqual(bytes);
  expect((await reader.getMany(Array.from({ length: 100 }, () => cid))).get(cid)).toEqual(bytes);
  expect(notes).toBe(0);
  await reader.get(cid);
  expect(notes).toBe(1);
  for (let read = 0; read < 255; read++) await reader.get(cid);
  expect(notes).toBe(1);
});

test("the most unpublished objects leave 128 MiB for the agent, and a small machine can work nevertheless", () => {
  const MiB = 1024 * 1024;
  expect(objectsInMemory(1024 * MiB)).toBe(91_750);
  expect(objectsInMemory(256 * MiB)).toBe(13_107);
  expect(objectsInMemory(130 * MiB)).toBe(1_024);
  expect(objectsInMemory(64 * MiB)).toBe(1_024);
});

test("collecting garbage leaves V8's flags as they were, since V8 takes no compiled code made under others", () => {
  collectGarbage("young");
  expect(runInNewContext("typeof gc")).toBe("undefined");
});

test("memory is released once garbage stops for a while, and every 15 seconds on a thread that is always busy", async () => {
  const clock = new ManualClock();
  let releases = 0;
  using idle = new IdleRelease(clock, () => releases++);
  idle.note();
  await clock.advance(10_000);
  expect(releases).toBe(1);
  for (let second = 0; second < 60; second++) {
    idle.note();
    await clock.advance(1_000);
  }
  expect(releases).toBe(5);
});

test("a little garbage releases memory ten seconds after the last of it, and never while it keeps coming", async () => {
  const clock = new ManualClock();
  let releases = 0;
  using idle = new IdleRelease(clock, () => releases++);
  for (let second = 0; second < 60; second++) {
    idle.noteLittle();
    await clock.advance(1_000);
  }
  expect(releases).toBe(0);
  await clock.advance(10_000);
  expect(releases).toBe(1);
  idle.note();
  idle.noteLittle();
  await clock.advance(2_000);
  expect(releases).toBe(2);
  await clock.advance(60_000);
  expect(releases).toBe(2);
});

test("heap memory that V8 needed for bursts of work is returned to the system", () => {
  const program = `
    const { releaseMemory } = await import(${JSON.stringify(new URL("../../../src/runtime/memory.ts", import.meta.url).href)});
    const burst = () => Array.from({ length: 400_000 }, (_, at) => ({ at, pair: [at, at + 1] })).length;
    const rss = () => process.memoryUsage.rss();
    const before = rss();
    for (let bursts = 0; bursts < 8; bursts++) burst();
    const busy = rss();
    releaseMemory();
    process.stdout.write(JSON.stringify({ before, busy, after: rss() }));
  `;
  const args = [...NODE_FLAGS, "--input-type=module", "--eval", program];
  const { before, busy, after } = JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" }));
  expect(busy - before).toBeGreaterThan(50 * MiB);
  expect(after - before).toBeLessThan(25 * MiB);
});

const MiB = 1 << 20;
