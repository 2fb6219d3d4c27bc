/** Which files are cut while they are written again, and which bytes of theirs count. */
import { describe, expect, test } from "vitest";
import { EarlyCutting } from "../../../../src/agent/publishing/early-cutting.ts";
import type { Ino } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { ChunkCache } from "../../../../src/content/chunk-cache.ts";
import { createContentConfig } from "../../../../src/content/config.ts";
import { writeBytes } from "../../../../src/content/write.ts";
import { Beginnings } from "../../../../src/overlay/beginnings.ts";
import { DataFiles } from "../../../../src/overlay/data/data-files.ts";
import { BlockMap } from "../../../support/block-map.ts";
import { noise } from "../../../support/bytes.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { VfsHarness } from "../../../support/vfs-harness.ts";
import type { DirtyReason } from "../../../../src/vfs/dirty-signal.ts";
import { SimulatedDisk } from "../../../../src/simulate/disks/simulated-disk.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const INO = 7 as Ino;
const EPOCH = 3;

describe("the first bytes of a data file", () => {
  const write = (beginnings: Beginnings, from: number, to: number, name = "7.3") => {
    beginnings.writing(name, from);
    beginnings.wrote(name, INO, EPOCH, from, to);
  };

  test("are reported now and then while they are written in order", () => {
    const beginnings = new Beginnings(800);
    const told: number[] = [];
    for (let at = 0; at < 2_000; at += 50) {
      write(beginnings, at, at + 50);
      const due = beginnings.takeDue();
      if (due !== undefined) told.push(due.end);
    }
    expect(told[0]).toBe(850);
    expect(told.length).toBeLessThanOrEqual(1_200 / 100 + 1);
  });

  test("count as changed once one of them is written again, even if that write fails", () => {
    const beginnings = new Beginnings(800);
    write(beginnings, 0, 1_000);
    const told = beginnings.takeDue();
    if (told === undefined) throw new Error("nothing was told");
    write(beginnings, 1_000, 1_200);
    write(beginnings, 5_000, 6_000);
    expect(beginnings.isSteady("7.3", told)).toBe(true);
    beginnings.writing("7.3", 999);
    expect(beginnings.isSteady("7.3", told)).toBe(false);
    write(beginnings, 0, 1_000);
    expect(beginnings.isSteady("7.3", told)).toBe(false);
    expect(beginnings.takeDue()?.generation).not.toBe(told.generation);
  });

  test("are remembered while many other files are written, and forgotten with their own file", () => {
    const beginnings = new Beginnings(800);
    write(beginnings, 0, 1_000);
    const told = beginnings.takeDue();
    if (told === undefined) throw new Error("nothing was told");
    for (let other = 0; other < 1_000; other++) write(beginnings, 0, 100, `${other + 10}.3`);
    expect(beginnings.isSteady("7.3", told)).toBe(true);
    beginnings.forget("7.3");
    expect(beginnings.isSteady("7.3", told)).toBe(false);
  });

  test("count as changed after an overwrite that ran out of space", () => {
    const disk = new SimulatedDisk();
    const data = new DataFiles(disk, 10, 64 * KiB);
    data.write(INO, EPOCH, 0, noise(100 * KiB));
    const told = data.beginnings.takeDue();
    disk.capacity = disk.used;
    expect(() => data.write(INO, EPOCH, 90 * KiB, noise(20 * KiB, 2))).toThrow("full");
    expect(told?.end).toBe(100 * KiB);
    expect(told !== undefined && data.isSteady(told)).toBe(false);
  });

  test("do not count while a shared file still holds the inode's bytes", () => {
    const disk = new SimulatedDisk();
    const data = new DataFiles(disk, 10, 1 * KiB);
    data.write(INO, EPOCH, 0, noise(60 * KiB));
    // Room for the bytes in a file of their own, but not for the mark that says so.
    disk.capacity = disk.used + 60 * KiB;
    expect(() => data.write(INO, EPOCH, 60 * KiB, noise(20 * KiB))).toThrow("full");
    const told = data.beginnings.takeDue();
    disk.capacity = Infinity;
    data.write(INO, EPOCH, 0, noise(60 * KiB, 2));
    expect(told?.end).toBe(60 * KiB);
    expect(told !== undefined && data.isSteady(told)).toBe(false);
  });
});

describe("a large file that is being rewritten", () => {
  /** A filesystem with a published file, of which writing again is told from 70 KiB on; and what the agent is told. */
  async function setUp() {
    const clock = new ManualClock();
    const fs = await VfsHarness.create({ earlyBytes: 70 * KiB }, clock);
    const ino = await fs.make("large");
    await fs.write(ino, 0, noise(2 * MiB));
    await fs.publish();
    // Its data file is removed by then.
    await clock.advance(5_000);
    const reasons: DirtyReason[] = [];
    fs.vfs.onDirty((reason) => reasons.push(reason));
    /** Writes a piece of 20 KiB, once the agent would be told of it; what it is told. */
    const write = async (to: Ino, piece: number): Promise<DirtyReason[]> => {
      await clock.advance(100);
      reasons.length = 0;
      await fs.write(to, piece * 20 * KiB, noise(20 * KiB, piece));
      return [...reasons];
    };
    const writeBeginning = async (to: Ino): Promise<DirtyReason[]> => {
      const told: DirtyReason[] = [];
      for (let piece = 0; piece < 5; piece++) told.push(...(await write(to, piece)));
      return told;
    };
    return { fs, ino, reasons, write, writeBeginning };
  }

  test("is reported as a rewrite until something else changes", async () => {
    const { fs, ino, reasons, write, writeBeginning } = await setUp();
    expect((await writeBeginning(ino)).slice(-2)).toEqual(["write", "rewrite"]);
    expect(await write(ino, 5)).toEqual(["rewrite"]);
    // The next piece is told at once: others must not wait because the last was told a moment ago.
    reasons.length = 0;
    await fs.make("other", "x");
    expect(reasons).toEqual(["write"]);
    expect(await write(ino, 6)).toEqual(["write"]);
    await fs.publish();
    expect(await write(ino, 7)).toEqual(["write"]);
  });

  test("is an ordinary change once it is written out of order, or if it is new", async () => {
    const { fs, ino, write, writeBeginning } = await setUp();
    expect((await writeBeginning(ino)).at(-1)).toBe("rewrite");
    expect(await write(ino, 9)).toEqual(["write"]);
    expect(await write(ino, 2)).toEqual(["write"]);
    await fs.publish();
    const fresh = await fs.make("fresh");
    await fs.publish();
    expect(new Set(await writeBeginning(fresh))).toEqual(new Set(["write"]));
  });

  test("is an ordinary change once the disk has no room for as much again", async () => {
    const { fs, ino, write, writeBeginning } = await setUp();
    fs.disk.capacity = fs.disk.used + 600 * KiB;
    const told = await writeBeginning(ino);
    for (let piece = 5; piece < 18; piece++) told.push(...(await write(ino, piece)));
    expect([told[4], told.at(-1)]).toEqual(["rewrite", "write"]);
  });
});

test("a file closed while an older epoch is retried causes a flush once that epoch is published", async () => {
  const fs = await VfsHarness.create();
  await fs.make("first", "1");
  const result = await fs.build();
  const reasons: DirtyReason[] = [];
  fs.vfs.onDirty((reason) => reasons.push(reason));
  fs.vfs.closed(await fs.make("second", "2"));
  fs.vfs.seal();
  reasons.length = 0;
  if (result === undefined) throw new Error("nothing was sealed");
  fs.finish(result);
  expect(reasons).toEqual(["close"]);
});

describe("early work", () => {
  /** A file that has little of the old one, and what is read of it. */
  async function setUpFresh() {
    const config = createContentConfig();
    const blocks = new BlockMap();
    const base = await writeBytes(blocks, config, noise(2 * MiB, 1));
    if (base.kind !== "list") throw new Error("the file is too small");
    const fresh = noise(1 * MiB, 2);
    const done = { read: 0 };
    const work = new EarlyCutting({
      source: new ChunkCache(blocks, { capacityBytes: 1 * MiB }),
      config,
      read: (_ino, _epoch, offset, target) => {
        done.read += target.length;
        target.set(fresh);
        target[0] = offset / MiB;
        return target.length;
      },
      isSteady: async () => true,
      runLow: (run) => run(),
      clock: new ManualClock(),
      log: silentLog,
    });
    const told = { ino: INO, epoch: EPOCH, generation: 1, base: base.cid, baseSize: 60 * MiB };
    return { work, told, done };
  }

  test("stops when little of the old file comes again", async () => {
    const { work, told, done } = await setUpFresh();
    work.note({ ...told, end: 60 * MiB });
    await work.idle();
    expect(done.read).toBeGreaterThan(15 * MiB);
    expect(done.read).toBeLessThan(20 * MiB);
  });

  test("delays the flush of a file that is being rewritten only while that file is being cut", async () => {
    const { work, told } = await setUpFresh();
    expect(work.reason("rewrite")).toBe("write");
    work.note({ ...told, end: 60 * MiB });
    expect([work.reason("rewrite"), work.reason("fsync")]).toEqual(["rewrite", "fsync"]);
    await work.idle();
    expect(work.reason("rewrite")).toBe("write");
  });
});
