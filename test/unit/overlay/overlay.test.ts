/** How the overlay keeps its promises: what is synced when, how the journal stays short, what is not guessed. */
import { describe, expect, test } from "vitest";
import { nextTurn } from "../../../src/base/concurrency.ts";
import { ERRNO } from "../../../src/base/errno.ts";
import { hasCode, SynclineError } from "../../../src/base/errors.ts";
import { SHARED_FILE_BYTES } from "../../../src/base/limits.ts";
import type { Ino } from "../../../src/base/ids.ts";
import { silentLog } from "../../../src/base/log.ts";
import type { Random } from "../../../src/base/random.ts";
import { dataReaderOf } from "../../../src/overlay/data/data-reader.ts";
import { Journal } from "../../../src/overlay/journal/journal.ts";
import type { OverlayStorage, StateTables, StoredFile } from "../../../src/overlay/disk/storage.ts";
import { openVfs } from "../../../src/vfs/open-vfs.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { seededRandom } from "../../../src/simulate/seeded-random.ts";
import { diskFull, type OverlayCall, SimulatedDisk } from "../../../src/simulate/disks/simulated-disk.ts";
import { Stopped } from "../../../src/simulate/disks/faulty-disk.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";
import { applyTo } from "../../support/vfs-operations.ts";

/** A power cut that takes everything that was not synced. */
const EVERYTHING: Random = { bytes: (length) => new Uint8Array(length), fraction: () => 0 };

/** Too large for a shared data file. */
const LARGE_TEXT = "new version ".repeat(10_000);

function callsOf(fs: VfsHarness): Map<OverlayCall, number> {
  const calls = new Map<OverlayCall, number>();
  fs.disk.before = (call) => calls.set(call, (calls.get(call) ?? 0) + 1);
  return calls;
}

describe("fsync", () => {
  test("of any file makes files renamed over others durable, bytes and name", async () => {
    const fs = await VfsHarness.create();
    await fs.vfs.fsync(await fs.make("config", "old"));
    const other = await fs.make("other", "x");
    await fs.make("config.tmp", "new version");
    await fs.rename("config.tmp", "config");
    await fs.vfs.fsync(other);
    fs.restart(EVERYTHING);
    expect(await fs.text("config")).toBe("new version");
  });

  test("makes a small file's bytes durable when retried after a failure", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("small", "some text");
    fs.disk.before = (call) => {
      if (call === "sync") throw new Error("the disk is busy");
    };
    await expect(fs.vfs.fsync(ino)).rejects.toThrow("busy");
    fs.disk.before = () => {};
    await fs.vfs.fsync(ino);
    fs.restart(EVERYTHING);
    expect(await fs.text("small")).toBe("some text");
  });

  test("that waited while a sync of the same data file failed makes its own bytes durable", async () => {
    const fs = await VfsHarness.create();
    const [first, second] = [await fs.make("first", "some text"), await fs.make("second", "other text")];
    let failures = 1;
    fs.disk.before = (call, path) => {
      if (call === "sync" && path?.startsWith("data/") === true && failures-- > 0) throw new Error("a bad sector");
    };
    const synced = await Promise.allSettled([fs.vfs.fsync(first), fs.vfs.fsync(second)]);
    expect(synced.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
    fs.restart(EVERYTHING);
    expect(await fs.text("second")).toBe("other text");
  });

  test("of any file makes files durable that were renamed over others before the agent was killed", async () => {
    const fs = await VfsHarness.create();
    await fs.vfs.fsync(await fs.make("config", "old"));
    const other = await fs.make("other", "x");
    await fs.make("config.tmp", LARGE_TEXT);
    await fs.rename("config.tmp", "config");
    fs.vfs.persist();
    fs.restart();
    await fs.vfs.fsync(other);
    fs.restart(EVERYTHING);
    expect(await fs.text("config")).toBe(LARGE_TEXT);
  });

  test("makes the bytes of a renamed file durable when retried after a failure", async () => {
    const fs = await VfsHarness.create();
    await fs.make("config", "old");
    const other = await fs.make("other", "x");
    await fs.vfs.fsync(other);
    const version = "new version ".repeat(2_000);
    await fs.make("config.tmp", version);
    await fs.rename("config.tmp", "config");
    fs.disk.before = (call) => {
      if (call === "sync") throw new Error("the disk is busy");
    };
    await expect(fs.vfs.fsync(other)).rejects.toThrow("busy");
    fs.disk.before = () => {};
    await fs.vfs.fsync(other);
    fs.restart(EVERYTHING);
    expect(await fs.text("config")).toBe(version);
  });

  test("of other files and publishing go on if a file that took over a name can never be synced", async () => {
    const fs = await VfsHarness.create();
    await fs.make("config", "old");
    const other = await fs.make("other", "x");
    await fs.vfs.fsync(other);
    const version = "new version ".repeat(10_000);
    const renamed = await fs.make("config.tmp", version);
    await fs.rename("config.tmp", "config");
    fs.disk.before = (call, path) => {
      if (call === "sync" && path?.startsWith(`data/${renamed}.`) === true) throw new Error("a bad sector");
    };
    await expect(fs.vfs.fsync(other)).rejects.toThrow("bad sector");
    await fs.vfs.fsync(other);
    await expect(fs.vfs.fsync(renamed)).rejects.toThrow("bad sector");
    await fs.publish();
    await fs.vfs.sync();
    fs.restart(EVERYTHING);
    expect(await fs.text("config")).toBe(version);
  });

  test("of many files at once shares the journal's syncs", async () => {
    const fs = await VfsHarness.create();
    const inos = [];
    for (let index = 0; index < 30; index++) inos.push(await fs.make(`f${index}`, `text ${index}`));
    fs.vfs.persist();
    const calls = callsOf(fs);
    await Promise.all(inos.map((ino) => fs.vfs.fsync(ino)));
    expect(calls.get("sync")).toBeLessThan(10);
    fs.restart(EVERYTHING);
    for (let index = 0; index < 30; index++) expect(await fs.text(`f${index}`)).toBe(`text ${index}`);
  });

  test("that fails reports its error, and later syncs and writes fail too", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f", "x");
    fs.disk.before = (call) => {
      if (call === "sync folder") throw new Error("the disk is broken");
    };
    await expect(fs.vfs.fsync(ino)).rejects.toThrow("broken");
    await expect(fs.vfs.sync()).rejects.toMatchObject({ code: "store_failed" });
    fs.disk.before = () => {};
    await expect(fs.write(ino, 0, "y")).rejects.toMatchObject({ code: "store_failed" });
    expect(await fs.text("f")).toBe("x");
  });
});

test("data files that could not be removed are removed later", async () => {
  const clock = new ManualClock();
  const fs = await VfsHarness.create({}, clock);
  const ino = await fs.make("f", "x".repeat(200_000));
  await fs.unlink("f");
  fs.vfs.forget(ino);
  fs.disk.before = (call) => {
    if (call === "remove") throw new Error("not now");
  };
  await clock.advance(1_000);
  fs.disk.before = () => {};
  expect(fs.disk.list("data")).not.toEqual([]);
  await clock.advance(60_000);
  expect(fs.disk.list("data")).toEqual([]);
});

/** Whether any file of the folder holds these bytes. */
function holds(fs: VfsHarness, folder: "journal" | "data", text: string): boolean {
  return [...fs.disk.filesIn(folder).values()].some(({ bytes }) => Buffer.from(bytes).includes(text));
}

/** A file of 100,000 bytes "a" that is synced, and an fsync just now, so that the journal carries what comes. */
async function syncedFile(clock?: ManualClock): Promise<{ fs: VfsHarness; ino: Ino }> {
  const fs = await VfsHarness.create({}, clock);
  const ino = await fs.make("f", "a".repeat(100_000));
  await fs.vfs.fsync(ino);
  return { fs, ino };
}

/** How many of 100 writes are synced where that is asked for, until one is not. */
async function fsyncsAtOnce(fs: VfsHarness, ino: Ino): Promise<number> {
  for (let count = 0; count < 100; count++) {
    await fs.write(ino, 0, "b");
    if (!fs.vfs.fsyncNow(ino)) return count;
  }
  return 100;
}

describe("while programs fsync, small writes", () => {
  test("become durable with a single sync, of the journal", async () => {
    const { fs, ino } = await syncedFile();
    await fs.write(ino, 50_000, "new bytes");
    fs.vfs.persist();
    const calls = callsOf(fs);
    await fs.vfs.fsync(ino);
    expect(calls).toEqual(new Map([["sync", 1]]));
    for (let cuts = 0; cuts < 3; cuts++) fs.restart(EVERYTHING);
    expect((await fs.read(ino, 49_998, 13)).toString()).toBe("aanew bytesaa");
  });

  test("are synced by the caller at once if one quick sync is enough", async () => {
    const { fs, ino } = await syncedFile();
    await fs.write(ino, 50_000, "new bytes");
    const calls = callsOf(fs);
    expect(fs.vfs.fsyncNow(ino)).toBe(true);
    expect(fs.vfs.fsyncNow(ino)).toBe(true);
    expect(calls.get("sync")).toBe(1);
    fs.restart(EVERYTHING);
    expect((await fs.read(ino, 49_998, 13)).toString()).toBe("aanew bytesaa");
  });

  test("are left to another thread while syncs are slow, after a start, or when there is more to sync", async () => {
    const clock = new ManualClock();
    let nowMs = 0;
    clock.monotonicMs = () => nowMs;
    const { fs, ino } = await syncedFile(clock);
    fs.disk.before = (call) => void (nowMs += call === "sync" ? 2 : 0);
    // A few slow ones in a row, then one in twenty times as long.
    expect(await fsyncsAtOnce(fs, ino)).toBe(11);
    await fs.vfs.fsync(ino);
    expect(await fsyncsAtOnce(fs, ino)).toBe(0);
    nowMs += 40;
    expect(await fsyncsAtOnce(fs, ino)).toBe(1);
    fs.disk.before = () => {};
    expect(await fsyncsAtOnce(fs, ino)).toBe(0);
    nowMs += 40;
    expect(await fsyncsAtOnce(fs, ino)).toBe(100);
    await fs.write(ino, 20_000, "large".repeat(10_000));
    expect(fs.vfs.fsyncNow(ino)).toBe(false);
    await fs.vfs.fsync(ino);
    const sealing = fs.vfs.sync();
    await fs.write(ino, 60_000, "d");
    expect(fs.vfs.fsyncNow(ino)).toBe(false);
    await sealing;
    fs.restart();
    expect(fs.vfs.fsyncNow(ino)).toBe(false);
  });

  test("to a new file become durable without its data file", async () => {
    const { fs } = await syncedFile();
    const ino = await fs.make("new", "one two");
    await fs.write(ino, 4, "three");
    await fs.vfs.fsync(ino);
    fs.restart(EVERYTHING);
    expect(await fs.text("new")).toBe("one three");
  });

  test("reach their data files before a checkpoint frees the journal", async () => {
    const { fs, ino } = await syncedFile();
    await fs.write(ino, 10, "new bytes");
    await fs.vfs.fsync(ino);
    fs.restart(EVERYTHING);
    await fs.vfs.checkpoint();
    fs.restart(EVERYTHING);
    expect((await fs.read(ino, 9, 11)).toString()).toBe("anew bytesa");
  });

  test("in a sealed epoch read as they were when it was sealed, whatever came later", async () => {
    const { fs, ino } = await syncedFile();
    await fs.write(ino, 10, "sealed");
    const epoch = fs.vfs.seal()?.epoch ?? 0;
    await fs.write(ino, 9, "and live");
    const small = await fs.make("small", "live");
    await fs.vfs.fsync(ino);
    fs.restart(EVERYTHING);
    const sealed = await dataReaderOf(fs.disk).readData(ino, epoch, 9, 8);
    expect(Buffer.from(sealed).toString()).toBe("asealeda");
    // What is not there reads as zeros, also into a buffer that had something in it.
    for (const [gone, offset] of [
      [ino, 99_998],
      [small, 2],
    ] as const) {
      const used = Buffer.from("used before");
      const read = await dataReaderOf(fs.disk).readData(gone, gone === ino ? epoch : epoch + 1, offset, 4, used);
      expect(Buffer.from(read).toString()).toBe(gone === ino ? "aa\0\0" : "ve\0\0");
    }
    expect((await fs.read(ino, 8, 10)).toString()).toBe("aand livea");
  });

  test("to small files share a data file, which concurrent reads open once to index and once to read, then close", async () => {
    const fs = await VfsHarness.create();
    const files = [await fs.make("a", "one"), await fs.make("b", "two"), await fs.make("c", "three")];
    const epoch = fs.vfs.seal()?.epoch ?? 0;
    const [opened, held] = [[] as string[], new Set<StoredFile>()];
    const storage = {
      list: (folder) => fs.disk.list(folder),
      openFile(folder, name, create) {
        const file = fs.disk.openFile(folder, name, create);
        if (file === undefined) return undefined;
        const close = () => {
          held.delete(file);
          file.close();
        };
        opened.push(name);
        held.add(file);
        return { size: () => file.size(), read: (offset, target) => file.read(offset, target), close } as StoredFile;
      },
    } as OverlayStorage;
    const reader = dataReaderOf(storage);
    const texts = await Promise.all(files.map(async (ino) => reader.readData(ino, epoch, 0, 3)));
    expect(texts.map((bytes) => Buffer.from(bytes).toString())).toEqual(["one", "two", "thr"]);
    // To find what is in it, and to read it.
    expect(opened).toEqual([`small.${epoch}.0`, `small.${epoch}.0`]);
    await nextTurn();
    expect(held.size).toBe(0);
    expect(Buffer.from(await reader.readData(files[1] ?? (0 as Ino), epoch, 1, 2)).toString()).toBe("wo");
    await nextTurn();
    expect([opened.length, held.size]).toEqual([3, 0]);
  });

  test("never replay over later writes that bypassed the journal", async () => {
    const clock = new ManualClock();
    const { fs, ino } = await syncedFile(clock);
    await fs.write(ino, 10, "carried");
    await fs.vfs.fsync(ino);
    await clock.advance(5_000);
    await fs.write(ino, 99_999, "grows");
    await fs.vfs.fsync(ino);
    await fs.write(ino, 12, Buffer.alloc(20_000, "z"));
    await fs.vfs.fsync(ino);
    expect([holds(fs, "journal", "carried"), holds(fs, "journal", "zzzz")]).toEqual([true, false]);
    fs.restart(EVERYTHING);
    expect((await fs.read(ino, 9, 8)).toString()).toBe("acazzzzz");
  });

  test("never replay over a later large write that was synced", async () => {
    const { fs, ino } = await syncedFile();
    await fs.write(ino, 10, "carried");
    await fs.vfs.fsync(ino);
    await fs.write(ino, 0, Buffer.alloc(20_000, "z"));
    await fs.vfs.sync();
    fs.restart(EVERYTHING);
    expect((await fs.read(ino, 9, 9)).toString()).toBe("zzzzzzzzz");
  });

  test("made during a checkpoint are not counted as part of it", async () => {
    const { fs, ino } = await syncedFile();
    const other = await fs.make("other", "small");
    await fs.write(ino, 10, "carried");
    await fs.write(other, 0, "SMALL");
    await fs.vfs.fsync(ino);
    let syncs = 0;
    fs.disk.before = (call) => {
      if (call !== "sync" || ++syncs !== 2) return;
      fs.vfs.write(ino, 50_000, Buffer.from("meanwhile"));
      fs.vfs.write(other, 0, Buffer.from("While"));
      fs.vfs.persist();
    };
    await fs.vfs.checkpoint();
    expect(syncs).toBe(2);
    await fs.vfs.fsync(ino);
    fs.restart(EVERYTHING);
    expect((await fs.read(ino, 49_999, 11)).toString()).toBe("ameanwhilea");
    expect(await fs.text("other")).toBe("While");
  });

  test("left by a killed process are durable once a checkpoint has freed the journal", async () => {
    const { fs, ino } = await syncedFile();
    await fs.write(ino, 10, "carried");
    await fs.vfs.fsync(ino);
    fs.restart();
    await fs.vfs.checkpoint();
    fs.restart(EVERYTHING);
    expect((await fs.read(ino, 9, 9)).toString()).toBe("acarrieda");
  });

  test("never reappear in truncated or removed files", async () => {
    const { fs, ino } = await syncedFile();
    await fs.write(ino, 10, "carried");
    await fs.run((vfs) => vfs.setAttributes(ino, { size: 12 }));
    await fs.run((vfs) => vfs.setAttributes(ino, { size: 20 }));
    const other = await fs.make("gone", "carried too");
    await fs.unlink("gone");
    fs.vfs.forget(other);
    await fs.vfs.fsync(ino);
    fs.restart(EVERYTHING);
    expect((await fs.read(ino, 8, 12)).toString("latin1")).toBe(`aaca${"\0".repeat(8)}`);
    expect(holds(fs, "data", "carried too")).toBe(false);
  });

  test("bypass the journal when no program fsyncs or when they are large", async () => {
    const clock = new ManualClock();
    const { fs, ino } = await syncedFile(clock);
    await fs.write(ino, 0, Buffer.alloc(9_000, "L"));
    await fs.vfs.fsync(ino);
    await clock.advance(1_001);
    await fs.write(ino, 0, "s".repeat(100));
    fs.vfs.persist();
    expect([holds(fs, "journal", "LLLL"), holds(fs, "journal", "ssss")]).toEqual([false, false]);
    await fs.vfs.fsync(ino);
    await fs.write(ino, 0, "carried");
    await fs.write(ino, 20_000, Buffer.alloc(9_000, "M"));
    fs.vfs.persist();
    expect([holds(fs, "journal", "carried"), holds(fs, "journal", "MMMM")]).toEqual([true, false]);
  });
});

test("a checkpoint makes the bytes of files durable that were renamed over others", async () => {
  const fs = await VfsHarness.create();
  await fs.vfs.fsync(await fs.make("config", "old"));
  await fs.make("config.tmp", LARGE_TEXT);
  await fs.rename("config.tmp", "config");
  await fs.vfs.checkpoint();
  fs.restart(EVERYTHING);
  expect(await fs.text("config")).toBe(LARGE_TEXT);
});

test("a write that a killed agent had only begun is written again, and stays", async () => {
  const fs = await VfsHarness.create();
  const ino = await fs.make("disk.img", "old ".repeat(50_000));
  await fs.publish();
  await fs.advance(1_000);
  const bytes = Buffer.from("new ".repeat(20_000));
  // The bytes reach the data file, the record does not reach the journal.
  await fs.write(ino, 100_000, bytes);
  fs.restart();
  await fs.write(await fs.ino("disk.img"), 100_000, bytes);
  fs.vfs.persist();
  await fs.vfs.fsync(await fs.ino("disk.img"));
  await fs.advance(1_000);
  await fs.publish();
  expect((await fs.text("disk.img")).slice(100_000, 100_008)).toBe("new new ");
});

test("an fsync after a restart makes the previous process's unsynced writes durable", async () => {
  const fs = await VfsHarness.create();
  const ino = await fs.make("f", "text");
  const large = await fs.make("large", "x".repeat(100_000));
  fs.vfs.persist();
  fs.restart();
  for (const each of [ino, large]) await fs.vfs.fsync(each);
  fs.restart(EVERYTHING);
  expect(await fs.text("f")).toBe("text");
  expect(await fs.text("large")).toBe("x".repeat(100_000));
});

test("a file that outgrew its shared data file before a kill becomes durable when fsynced", async () => {
  const fs = await VfsHarness.create();
  const ino = await fs.make("f", "small");
  await fs.vfs.fsync(ino);
  await fs.write(ino, 100_000, "z".repeat(20_000));
  fs.vfs.persist();
  fs.restart();
  await fs.vfs.fsync(ino);
  fs.restart(EVERYTHING);
  expect((await fs.read(ino, 99_999, 4)).toString()).toBe("\0zzz");
});

test("bytes fsynced while a file was small survive its growth and a power loss, whatever reached the disk", async () => {
  for (let seed = 0; seed < 60; seed++) {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f", "kept".repeat(100));
    await fs.vfs.fsync(ino);
    await fs.write(ino, 400, "z".repeat(100_000));
    fs.vfs.persist();
    fs.restart(seededRandom(seed));
    expect((await fs.read(ino, 0, 400)).toString(), `seed ${seed}`).toBe("kept".repeat(100));
  }
});

test("the old bytes of a file that outgrew its shared data file never come back, even if that file outlives others", async () => {
  const clock = new ManualClock();
  const fs = await VfsHarness.create({}, clock);
  const fillers = (round: number) =>
    Array.from({ length: Math.ceil(SHARED_FILE_BYTES / 60_000) }, (_, index) => `filler ${round}.${index}`);
  await fs.make("stays", "s");
  const grown = await fs.make("grows", "old");
  const made: Ino[] = [];
  for (const name of fillers(1)) made.push(await fs.make(name, "x".repeat(60_000)));
  await fs.write(grown, 0, "n".repeat(100_000));
  for (const name of fillers(2)) made.push(await fs.make(name, "y".repeat(60_000)));
  for (const name of [...fillers(1), ...fillers(2)]) await fs.unlink(name);
  for (const ino of made) fs.vfs.forget(ino);
  fs.vfs.persist();
  await clock.advance(5_000);
  fs.restart();
  expect((await fs.read(grown, 0, 3)).toString()).toBe("nnn");
});

describe("a commit", () => {
  test("is one write for any batch, and none when nothing changed", async () => {
    const fs = await VfsHarness.create();
    await fs.make("warm");
    fs.vfs.persist();
    const calls = callsOf(fs);
    for (let index = 0; index < 10; index++) await fs.make(`f${index}`);
    expect(calls.get("write")).toBeUndefined();
    fs.vfs.persist();
    expect(calls.get("write")).toBe(1);
    fs.vfs.persist();
    expect(calls.get("write")).toBe(1);
  });
});

describe("the journal", () => {
  test("is not written again as a bit that flips during a read shows it", async () => {
    const fs = await VfsHarness.create();
    await fs.vfs.fsync(await fs.make("first", "text"));
    fs.restart();
    let reads = 0;
    fs.disk.flipped = (bytes) => (reads++ === 0 ? bytes.map((byte, at) => (at === 60 ? byte ^ 1 : byte)) : bytes);
    await fs.vfs.fsync(await fs.make("second", "more text"));
    expect(reads).toBeGreaterThan(1);
    fs.restart();
    expect(await fs.list("")).toEqual(["first", "second"]);
  });

  test("is written again at a start before it counts as durable: a sync may have failed before", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("first", "text");
    fs.vfs.persist();
    fs.disk.before = (call, path) => {
      if (call === "sync" && path?.startsWith("journal/") === true) throw new Error("a bad sector");
    };
    await expect(fs.vfs.fsync(ino)).rejects.toMatchObject({ code: "store_failed" });
    fs.restart();
    await fs.vfs.fsync(await fs.make("second", "more text"));
    fs.restart(EVERYTHING);
    expect(await fs.list("")).toEqual(["first", "second"]);
    expect(await fs.text("second")).toBe("more text");
  });

  test("is checkpointed automatically and stays short", async () => {
    const clock = new ManualClock();
    const fs = await VfsHarness.create({}, clock);
    for (let round = 0; round < 60; round++) {
      for (let index = 0; index < 100; index++)
        await applyTo(fs, { op: "create", path: `${round}-${index}-${"n".repeat(100)}` });
      await clock.advance(1);
    }
    expect(fs.disk.list("journal").length * 65_536).toBeLessThan(2_000_000);
    const before = await fs.list("");
    fs.restart();
    expect(await fs.list("")).toEqual(before);
  });

  test("fails on a record that this version does not know", async () => {
    const fs = await VfsHarness.create();
    await fs.make("f");
    fs.vfs.persist();
    const disk = fs.disk.afterKill();
    const foreign = new Journal(
      disk,
      { segmentBytes: 65_536, frameBytes: 4_096, salt: 1, reserved: () => 1 },
      0,
      () => {},
    );
    foreign.append((writer) => writer.u8(200), false);
    foreign.flush();
    fs.disk = disk;
    expect(() => fs.restart()).toThrow(expect.toSatisfy((error) => hasCode(error, "state_corrupt")));
  });
});

/** A file is fsynced, and a checkpoint with it failed. */
async function tablesThatFailedToSync(): Promise<VfsHarness> {
  const fs = await VfsHarness.create();
  await fs.vfs.fsync(await fs.make("kept", "text"));
  fs.disk.before = (call) => {
    if (call === "sync tables") throw new Error("the disk is busy");
  };
  await expect(fs.vfs.checkpoint()).rejects.toThrow("busy");
  fs.disk.before = () => {};
  return fs;
}

/** Overwrites what checkpoints freed of the journal. */
async function reuseJournal(fs: VfsHarness): Promise<void> {
  for (let index = 0; index < 8; index++) {
    await fs.vfs.checkpoint();
    await fs.vfs.fsync(await fs.make(`later ${index}`));
  }
}

describe("the tables", () => {
  test("free the journal only once changes whose sync failed were written again", async () => {
    const fs = await tablesThatFailedToSync();
    await reuseJournal(fs);
    fs.restart(EVERYTHING);
    expect(await fs.text("kept")).toBe("text");
  });

  test("found at a start count only once written again: a sync may have failed before", async () => {
    const fs = await tablesThatFailedToSync();
    fs.restart();
    await reuseJournal(fs);
    fs.restart(EVERYTHING);
    expect(await fs.text("kept")).toBe("text");
  });

  test.each([true, false])(
    "of a killed agent free the journal only once synced; fsynced before: %s",
    async (isSafe) => {
      for (let seed = 0; seed < 30; seed++) {
        const fs = await VfsHarness.create();
        const kept = await fs.make("kept", "text");
        if (isSafe) await fs.vfs.fsync(kept);
        fs.disk.before = (call) => {
          if (call === "sync tables") throw new Stopped();
        };
        await expect(fs.vfs.checkpoint()).rejects.toThrow("stopped");
        fs.restart();
        await fs.make("later");
        fs.vfs.persist();
        fs.restart(seededRandom(seed));
        const known = await fs.list("");
        expect(known).toEqual(expect.arrayContaining(isSafe ? ["kept"] : []));
        await reuseJournal(fs);
        fs.restart(EVERYTHING);
        expect(await fs.list("")).toEqual(expect.arrayContaining(known));
      }
    },
  );

  test("are rejected with a hint when damaged", async () => {
    const fs = await VfsHarness.create();
    await fs.make("f", "x");
    await fs.vfs.checkpoint();
    for (const part of ["objects", "head"] as const) {
      const storage = fs.disk.afterKill();
      const tables = storage.openTables();
      const damaged: StateTables = {
        inode: (ino) => tables.inode(ino),
        inodeOf: (id) => tables.inodeOf(id),
        numberOf: (id, place) => tables.numberOf(id, place),
        greatestIno: () => tables.greatestIno(),
        inosBelow: (ino, limit) => tables.inosBelow(ino, limit),
        inodesBelow: (ino, limit) => tables.inodesBelow(ino, limit),
        head: () => (part === "head" ? Uint8Array.of(9, 0, 0, 0) : tables.head()),
        objects: () => Array.from(tables.objects(), (row) => (part === "objects" ? row.subarray(0, 20) : row)),
        sealed: () => tables.sealed(),
        apply: (change) => tables.apply(change),
        applyInPortions: (portions, rest, between) => tables.applyInPortions(portions, rest, between),
        sync: () => tables.sync(),
        rewrite: () => tables.rewrite(),
        compact: () => tables.compact(),
        close: () => tables.close(),
      };
      storage.openTables = () => damaged;
      const { blocks, clock, root: base } = fs;
      expect(() => openVfs({ storage, blocks, clock, base, log: silentLog })).toThrow(
        expect.toSatisfy((error) => hasCode(error, "state_corrupt") && error.hint !== undefined),
      );
    }
  });

  test("give a restart the changes that the journal no longer holds", async () => {
    const fs = await VfsHarness.create();
    await fs.makeDirectory("d");
    const ino = await fs.make("d/f", "one");
    await fs.publish();
    await fs.write(ino, 0, "two");
    const sealed = fs.vfs.seal();
    await fs.write(ino, 2, "O!");
    await fs.unlink("d/f");
    await fs.make("d/f", "other");
    await fs.vfs.checkpoint();
    await fs.vfs.sync();
    const before = await fs.snapshot();
    fs.restart(EVERYTHING);
    expect(fs.vfs.seal()).toEqual(sealed);
    // Contents were not fsynced, so a power cut takes them; names, sizes and epochs are what the checkpoint says.
    expect([...(await fs.snapshot()).keys()]).toEqual([...before.keys()]);
    expect(fs.vfs.heldEpochs).toHaveLength(2);
  });
});

/** A published file "a", and this many adopted files of another agent. */
async function withTheirs(count: number): Promise<{ fs: VfsHarness; names: string[] }> {
  const fs = await VfsHarness.create();
  await fs.make("a", "x");
  await fs.publish();
  const names = Array.from({ length: count }, (_, index) => `file-${index}`);
  const theirs = await fs.others(async (other) => {
    for (const name of names) await other.make(name);
  });
  fs.vfs.adopt(theirs);
  return { fs, names };
}

/** Restarts on a disk on which no file can grow, and the tables cannot be changed. */
function restartWithoutTables(fs: VfsHarness, error: SynclineError): void {
  const { disk } = fs;
  disk.afterKill = () => {
    const next = SimulatedDisk.prototype.afterKill.call(disk);
    next.capacity = next.used;
    next.before = (call) => {
      if (call === "apply") throw error;
    };
    return next;
  };
  fs.restart();
}

describe("a full disk", () => {
  test("allows truncating files and punching holes, which makes room", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f");
    await fs.write(ino, 0, Buffer.alloc(200_000, 1));
    fs.vfs.persist();
    fs.disk.capacity = fs.disk.used;
    while ((await applyTo(fs, { op: "chmod", path: "f", mode: 0o600 })) === 0);
    const errno = async (work: Promise<unknown>) =>
      work.then(
        () => 0,
        (error: { errno: number }) => error.errno,
      );
    expect(await errno(fs.write(ino, 300_000, "more"))).toBe(ERRNO.ENOSPC);
    expect(await errno(fs.run((vfs) => vfs.allocate(ino, 0x03, 0, 1_000)))).toBe(0);
    expect(await errno(fs.run((vfs) => vfs.setAttributes(ino, { size: 50_000 })))).toBe(0);
    fs.vfs.persist();
    fs.restart();
    expect((await fs.find("f"))?.size).toBe(50_000);
    expect((await fs.read(ino, 990, 20)).equals(Buffer.concat([Buffer.alloc(10), Buffer.alloc(10, 1)]))).toBe(true);
  });

  test("does not fail the close, after which the next start has everything", async () => {
    const fs = await VfsHarness.create();
    await fs.make("a", "written");
    fs.disk.capacity = fs.disk.used;
    while ((await applyTo(fs, { op: "chmod", path: "a", mode: 0o600 })) === 0);
    fs.disk.before = (call) => {
      if (call === "apply") throw diskFull();
    };
    await fs.vfs.close();
    fs.disk.before = () => {};
    fs.restart();
    expect(await fs.text("a")).toBe("written");
  });

  test("still allows lookups and listings", async () => {
    const fs = await VfsHarness.create();
    await fs.make("a");
    await fs.publish();
    const other = await fs.others(async (other) => void (await other.make("b", "theirs")));
    fs.disk.capacity = fs.disk.used;
    while ((await applyTo(fs, { op: "chmod", path: "a", mode: 0o600 })) === 0);
    while ((await applyTo(fs, { op: "unlink", path: "a" })) === 0);
    fs.vfs.adopt(other);
    expect(await fs.list("")).toEqual(["b"]);
    expect(await fs.text("b")).toBe("theirs");
  });

  test("never gives one inode number to two files, over kills", async () => {
    const { fs, names } = await withTheirs(300);
    const given = new Map<Ino, string>();
    const clashes: string[] = [];
    for (const order of [names, names.toReversed(), names]) {
      fs.disk.capacity = fs.disk.used;
      while ((await applyTo(fs, { op: "chmod", path: "a", mode: 0o600 })) === 0);
      for (const name of order) {
        const ino = await fs.ino(name);
        if ((given.get(ino) ?? name) !== name) clashes.push(`${ino} was ${given.get(ino)} and is ${name}`);
        given.set(ino, name);
      }
      fs.vfs.persist();
      fs.restart();
    }
    expect(clashes).toEqual([]);
  });

  test("or an exceeded quota, which SQLite reports as a failed write, prevents no start", async () => {
    for (const error of [diskFull(), new SynclineError("store_failed", "SQLITE_IOERR_WRITE")]) {
      const fs = await VfsHarness.create();
      await fs.make("a", "written");
      fs.vfs.persist();
      restartWithoutTables(fs, error);
      expect(await fs.text("a")).toBe("written");
      expect(await applyTo(fs, { op: "unlink", path: "a" })).toBe(0);
      fs.disk.before = () => {};
      await fs.vfs.checkpoint();
      fs.restart();
      expect(await fs.list("")).toEqual([]);
    }
  });

  test("refuses new inode numbers that a later process could give out again", async () => {
    const { fs, names } = await withTheirs(1);
    restartWithoutTables(fs, diskFull());
    while ((await applyTo(fs, { op: "chmod", path: "a", mode: 0o600 })) === 0);
    await expect(fs.ino(names[0] ?? "")).rejects.toThrow(expect.toSatisfy((error) => hasCode(error, "disk_full")));
    fs.disk.before = () => {};
    await fs.vfs.checkpoint();
    expect(await fs.ino(names[0] ?? "")).toBeGreaterThan(0);
  });

  test("still puts new files in the right directory once there is room again", async () => {
    const fs = await VfsHarness.create();
    const a = await fs.make("a", "x");
    await fs.publish();
    const theirs = await fs.others(async (other) => {
      for (const path of ["d", "d/e", "z"]) await other.makeDirectory(path);
    });
    fs.disk.capacity = fs.disk.used;
    fs.vfs.adopt(theirs);
    // Also what is kept for calls that make room.
    const punch = () => fs.run((vfs) => vfs.allocate(a, 0x03, 0, 1));
    for (let full = false; !full;)
      full = await punch().then(
        () => false,
        () => true,
      );
    expect(await fs.find("d")).toBeDefined();
    fs.disk.capacity = Infinity;
    await fs.make("d/e/ours", "ours");
    fs.vfs.persist();
    fs.restart();
    expect(await fs.list("z")).toEqual([]);
    await fs.publish();
    expect([...(await fs.snapshot()).keys()].sort()).toEqual(["", "a", "d", "d/e", "d/e/ours", "z"]);
  });

  test("still allows removing files after more lookups than the reserve holds", async () => {
    const fs = await VfsHarness.create();
    await fs.make("a", "x");
    await fs.publish();
    const names = Array.from({ length: 1_500 }, (_, index) => `file-${index}`);
    const theirs = await fs.others(async (other) => {
      for (const name of names) await other.make(name);
    });
    fs.disk.capacity = fs.disk.used;
    fs.vfs.adopt(theirs);
    while ((await applyTo(fs, { op: "chmod", path: "a", mode: 0o600 })) === 0);
    for (const name of names) await fs.find(name);
    expect(await applyTo(fs, { op: "unlink", path: "a" })).toBe(0);
    expect(await fs.find("a")).toBeUndefined();
  });
});
