import { describe, expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import { type FileName, type Ino, ROOT_INO } from "../../../src/base/ids.ts";
import { PACE_MAX_MS, PACED_MS } from "../../../src/base/limits.ts";
import type { Xattrs } from "../../../src/format/files/record.ts";
import { BackPressure } from "../../../src/overlay/back-pressure.ts";
import type { StateTables } from "../../../src/overlay/disk/storage.ts";
import type { DirtyReason } from "../../../src/vfs/dirty-signal.ts";
import { openVfs } from "../../../src/vfs/open-vfs.ts";
import { silentLog } from "../../../src/base/log.ts";
import { CALLER } from "../../../src/simulate/vfs-driver.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const BOUND = 100;

describe("a call that changes another object", () => {
  test("waits only while an epoch is being published and the live one is past its bound, longer the further past", () => {
    const pacing = new BackPressure({ clock: new ManualClock(), log: silentLog, objects: BOUND });
    expect(pacing.pauseMs(10 * BOUND, 0)).toBe(0);
    pacing.left(BOUND, false);
    expect(pacing.pauseMs(BOUND, 0)).toBe(0);
    const pauses = [1.1, 1.5, 2, 3, 100].map((times) => pacing.pauseMs(times * BOUND, 0));
    expect(pauses[0]).toBeGreaterThan(0);
    expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
    expect(pauses.at(-1)).toBe(PACE_MAX_MS);
    pacing.arrived();
    expect(pacing.pauseMs(10 * BOUND, 0)).toBe(0);
  });

  test("does not wait for an epoch that takes too long or failed before", async () => {
    const clock = new ManualClock();
    const pacing = new BackPressure({ clock, log: silentLog, objects: BOUND });
    pacing.left(BOUND, false);
    await clock.advance(PACED_MS + 1);
    expect(pacing.pauseMs(10 * BOUND, 0)).toBe(0);
    pacing.left(BOUND, false);
    expect(pacing.pauseMs(10 * BOUND, 0)).toBeGreaterThan(0);
    pacing.left(BOUND, true);
    expect(pacing.pauseMs(10 * BOUND, 0)).toBe(0);
  });

  test("waits longer for a larger epoch, so that epochs do not grow without end", async () => {
    const clock = new ManualClock();
    const pacing = new BackPressure({ clock, log: silentLog, objects: BOUND });
    pacing.left(3 * BOUND, false);
    await clock.advance(3 * PACED_MS);
    expect(pacing.pauseMs(10 * BOUND, 0)).toBeGreaterThan(0);
    await clock.advance(1);
    expect(pacing.pauseMs(10 * BOUND, 0)).toBe(0);
  });

  test("waits once the live epoch outgrows the one in flight, but not before the bound, and at four times the bound at the latest", () => {
    const pacing = new BackPressure({ clock: new ManualClock(), log: silentLog, objects: BOUND });
    const isFree = (live: number) => pacing.pauseMs(live, 0) === 0;
    for (const [sealed, most] of [
      [1, BOUND],
      [2 * BOUND, 2 * BOUND],
      [9 * BOUND, 4 * BOUND],
    ] as const) {
      pacing.left(sealed, false);
      expect([isFree(most), isFree(most + 1)]).toEqual([true, false]);
    }
  });

  test("waits for its turn at the filesystem, unless the live epoch already changed that object", async () => {
    const fs = await VfsHarness.create({ epochObjects: 4 });
    await fs.make("first");
    const published = await fs.build();
    for (let index = 0; index < 6; index++) await fs.make(`f${index}`);
    expect(fs.vfs.throttle(await fs.ino("f5"))).toBeUndefined();
    expect(fs.vfs.throttle(await fs.ino("first"))).toBeDefined();
    const turn = fs.vfs.throttle(undefined);
    let came = false;
    void turn?.then(() => (came = true));
    await fs.advance(PACE_MAX_MS);
    expect(came).toBe(true);
    if (published !== undefined) fs.vfs.published(published);
    expect(fs.vfs.throttle(undefined)).toBeUndefined();
  });
});

test("no call waits after a flush that found no changes: nothing is being published", async () => {
  const fs = await VfsHarness.create({ unpublishedObjects: 16 });
  expect(fs.vfs.seal()).toBeUndefined();
  for (let index = 0; index < 12; index++) await fs.make(`f${index}`);
  expect(fs.vfs.throttle(undefined)).toBeUndefined();
});

describe("an epoch that has grown large", () => {
  test("asks for its publish at once and only once, after the one in flight", async () => {
    const fs = await VfsHarness.create({ epochObjects: 4 });
    const reasons: DirtyReason[] = [];
    fs.vfs.onDirty((reason) => reasons.push(reason));
    const urgent = () => reasons.splice(0).filter((reason) => reason === "urgent").length;
    for (let index = 0; index < 2; index++) await fs.make(`a${index}`);
    expect(urgent()).toBe(0);
    for (let index = 0; index < 8; index++) await fs.make(`b${index}`);
    expect(urgent()).toBe(1);
    const published = await fs.build();
    for (let index = 0; index < 8; index++) await fs.make(`c${index}`);
    expect(urgent()).toBe(0);
    if (published === undefined) throw new Error("there was nothing to seal");
    fs.stand(published.base);
    fs.vfs.published(published);
    expect(urgent()).toBe(1);
    await fs.publish();
    expect(urgent()).toBe(0);
  });

  test("counts only objects that are still changed, even after a restart", async () => {
    const fs = await VfsHarness.create({ epochObjects: 4 });
    const reasons: DirtyReason[] = [];
    fs.vfs.onDirty((reason) => reasons.push(reason));
    for (let index = 0; index < 20; index++) {
      await fs.make("f", "x");
      const ino = await fs.ino("f");
      await fs.unlink("f");
      fs.vfs.forget(ino);
    }
    expect(reasons).not.toContain("urgent");
    for (let index = 0; index < 20; index++) await fs.make(`f${index}`);
    fs.restart();
    fs.vfs.onDirty((reason) => reasons.push(reason));
    await fs.make("g");
    expect(reasons).toContain("urgent");
  });
});

describe("at the most changed objects that memory should hold", () => {
  const NAMES = [..."abcdefghijklmn"];

  test("further objects cannot change until the others are published; changed ones can, and removing works", async () => {
    // The root directory changes with its names, and has a kept row.
    const fs = await VfsHarness.create({ unpublishedObjects: 2 + NAMES.length });
    const other = await fs.make("other");
    await fs.publish();
    for (const name of NAMES) await fs.make(name, name);
    for (let times = 0; times < 2; times++) await expect(fs.make("z")).rejects.toMatchObject({ errno: ERRNO.ENOSPC });
    await expect(fs.write(other, 0, "x")).rejects.toMatchObject({ errno: ERRNO.ENOSPC });
    await fs.write(await fs.ino("a"), 0, "more");
    await fs.unlink("other");
    fs.vfs.persist();
    fs.restart();
    expect(await fs.list("")).toEqual(NAMES);
    expect(await fs.text("a")).toBe("more");
    await fs.publish();
    await fs.make("z");
    expect(await fs.list("")).toEqual([...NAMES, "z"]);
  });

  test("a file that was published before counts as two", async () => {
    const fs = await VfsHarness.create({ unpublishedObjects: 3 });
    const first = await fs.make("a");
    await expect(fs.make("b")).rejects.toMatchObject({ errno: ERRNO.ENOSPC });
    await fs.publish();
    const other = await fs.make("b");
    await fs.publish();
    await fs.write(first, 0, "x");
    await expect(fs.write(other, 0, "x")).rejects.toMatchObject({ errno: ERRNO.ENOSPC });
    await fs.write(first, 1, "y");
  });

  test("long attributes and targets count as further objects, until they are removed or published", async () => {
    const LONG = new Uint8Array(20 * 1024);
    // The root directory with its kept row, a file, and what its attribute counts as.
    const fs = await VfsHarness.create({ unpublishedObjects: 2 + 1 + 10 });
    const ino = await fs.make("a");
    const grow = (value: Uint8Array, name = "user.a") => fs.run((vfs) => vfs.setXattr(ino, name, value, 0));
    const link = () => fs.run((vfs) => vfs.makeSymlink(ROOT_INO, "s" as FileName, "t".repeat(4_000), CALLER));
    const refused = { errno: ERRNO.ENOSPC };
    await grow(LONG);
    await expect(grow(LONG, "user.b")).rejects.toMatchObject(refused);
    await expect(link()).rejects.toMatchObject(refused);
    fs.vfs.persist();
    fs.restart();
    await expect(fs.make("b")).rejects.toMatchObject(refused);
    await grow(LONG);
    await fs.run((vfs) => vfs.removeXattr(ino, "user.a"));
    await link();
    await grow(LONG.subarray(0, 12 * 1024));
    await expect(grow(LONG)).rejects.toMatchObject(refused);
    const published = await fs.build();
    // The epoch in flight still has the old value.
    await expect(grow(LONG.subarray(1, 12 * 1024))).rejects.toMatchObject(refused);
    if (published !== undefined) fs.finish(published);
    await grow(LONG.subarray(0, 8 * 1024));
  });

  test("an attribute is in memory once for the file, its base and the epoch in flight, also after a restart", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("a");
    await fs.run((vfs) => vfs.setXattr(ino, "user.a", Buffer.from("a".repeat(2_000)), 0));
    await changeInFlight(fs, ino);
    for (let starts = 0; starts < 2; starts++) {
      const { state } = fs.objects.overlay;
      const { xattrs, base } = state.dirty(ino);
      const sealed = state.inFlight?.objects.get(ino);
      expect([base?.xattrs, sealed?.record?.xattrs, sealed?.base?.xattrs].map((each) => each === xattrs)).toEqual([
        true,
        true,
        true,
      ]);
      expect((xattrs as Xattrs).get("user.a")?.buffer.byteLength).toBe(2_000);
      fs.restart();
    }
  });

  test("a short content is in memory once for the file, its base and the epoch in flight, also after a restart", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("a", "short");
    await changeInFlight(fs, ino);
    for (let starts = 0; starts < 2; starts++) {
      const { state } = fs.objects.overlay;
      const { content, base } = state.dirty(ino);
      const sealed = state.inFlight?.objects.get(ino);
      expect(content.kind).toBe("inline");
      expect([base?.content, sealed?.record?.content, sealed?.base?.content].map((each) => each === content)).toEqual([
        true,
        true,
        true,
      ]);
      fs.restart();
    }
  });

  test("the log says so once, until half of them are published", () => {
    const warnings: string[] = [];
    const log = { ...silentLog, warn: (message: string) => void warnings.push(message) };
    const pressure = new BackPressure({ clock: new ManualClock(), log, most: 10 });
    const full = () => expect(() => pressure.admit(1, 10, false)).toThrow("10 files and folders");
    full();
    full();
    pressure.admit(1, 9, false);
    expect(warnings).toHaveLength(1);
    pressure.admit(1, 4, false);
    full();
    expect(warnings).toHaveLength(2);
    pressure.admit(1, 10, true);
    expect(() => pressure.admit(1, 11, true)).toThrow("11 files");
    pressure.admit(0, 11, false);
  });

  test("calls wait longest from half of them on, however long the epoch in flight takes", async () => {
    const clock = new ManualClock();
    const pressure = new BackPressure({ clock, log: silentLog, objects: BOUND, most: 10 * BOUND });
    pressure.left(1, false);
    await clock.advance(2 * PACED_MS);
    expect([pressure.pauseMs(1, 4 * BOUND), pressure.pauseMs(1, 6 * BOUND)]).toEqual([0, PACE_MAX_MS]);
    pressure.left(1, true);
    expect(pressure.pauseMs(1, 6 * BOUND)).toBe(0);
  });
});

test("a checkpoint removes only rows that the tables hold", async () => {
  const fs = await VfsHarness.create();
  const storage = fs.disk.afterKill();
  const tables = storage.openTables();
  const removed: Ino[] = [];
  const applyInPortions: StateTables["applyInPortions"] = (portions, rest, between) => {
    for (const [ino, bytes] of portions.flatMap((rows) => [...rows])) if (bytes === undefined) removed.push(ino);
    return tables.applyInPortions(portions, rest, between);
  };
  const watched = (at: StateTables, key: PropertyKey) => (key === "applyInPortions" ? applyInPortions : bound(at, key));
  storage.openTables = () => new Proxy(tables, { get: watched });
  const { blocks, clock, root: base } = fs;
  fs.vfs = openVfs({ storage, blocks, clock, base, log: silentLog });
  await fs.make("kept");
  const kept = await fs.ino("kept");
  await fs.vfs.checkpoint();
  await fs.make("passing");
  fs.disk = storage;
  await fs.publish();
  await fs.vfs.checkpoint();
  expect(removed).toContain(kept);
  expect(removed).not.toContain(await fs.ino("passing"));
  fs.restart();
  expect(await fs.list("")).toEqual(["kept", "passing"]);
  expect(fs.vfs.pending().files).toBe(0);
});

function bound(target: object, key: PropertyKey): unknown {
  const value: unknown = Reflect.get(target, key, target);
  return typeof value === "function" ? value.bind(target) : value;
}

/** Publishes a file, and changes it before and after the next epoch is sealed. */
async function changeInFlight(fs: VfsHarness, ino: Ino): Promise<void> {
  await fs.publish();
  await fs.run((vfs) => vfs.setAttributes(ino, { mode: 0o600 }));
  fs.vfs.seal();
  await fs.run((vfs) => vfs.setAttributes(ino, { mode: 0o644 }));
  await fs.vfs.checkpoint();
}
