import { describe, expect, test } from "vitest";
import type { Ino } from "../../../src/base/ids.ts";
import { PACE_MAX_MS, PACED_MS } from "../../../src/base/limits.ts";
import { BackPressure } from "../../../src/overlay/back-pressure.ts";
import type { TableChange } from "../../../src/overlay/disk/storage.ts";
import type { DirtyReason } from "../../../src/vfs/dirty-signal.ts";
import { openVfs } from "../../../src/vfs/open-vfs.ts";
import { silentLog } from "../../../src/base/log.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const BOUND = 100;

describe("a call that changes another object", () => {
  test("waits only while an epoch is being published and the live one is past its bound, longer the further past", () => {
    const pacing = new BackPressure(new ManualClock(), BOUND);
    expect(pacing.pauseMs(10 * BOUND)).toBe(0);
    pacing.left(false);
    expect(pacing.pauseMs(BOUND)).toBe(0);
    const pauses = [1.1, 1.5, 2, 3, 100].map((times) => pacing.pauseMs(times * BOUND));
    expect(pauses[0]).toBeGreaterThan(0);
    expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
    expect(pauses.at(-1)).toBe(PACE_MAX_MS);
    pacing.arrived();
    expect(pacing.pauseMs(10 * BOUND)).toBe(0);
  });

  test("does not wait for an epoch that takes too long or failed before", async () => {
    const clock = new ManualClock();
    const pacing = new BackPressure(clock, BOUND);
    pacing.left(false);
    await clock.advance(PACED_MS + 1);
    expect(pacing.pauseMs(10 * BOUND)).toBe(0);
    pacing.left(false);
    expect(pacing.pauseMs(10 * BOUND)).toBeGreaterThan(0);
    pacing.left(true);
    expect(pacing.pauseMs(10 * BOUND)).toBe(0);
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

test("a checkpoint removes only rows that the tables hold", async () => {
  const fs = await VfsHarness.create();
  const storage = fs.disk.afterKill();
  const tables = storage.openTables();
  const removed: Ino[] = [];
  const apply = (change: TableChange) => {
    removed.push(...change.removedObjects);
    tables.apply(change);
  };
  storage.openTables = () => new Proxy(tables, { get: (at, key) => (key === "apply" ? apply : bound(at, key)) });
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
