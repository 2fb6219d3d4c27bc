/** How the overlay keeps its promises: what is synced when, how the journal stays short, what is not guessed. */
import { describe, expect, test } from "vitest";
import { ERRNO } from "../../src/base/errno.ts";
import { hasCode } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Random } from "../../src/base/random.ts";
import { Journal } from "../../src/overlay/journal.ts";
import type { StateTables } from "../../src/overlay/storage.ts";
import { openVfs } from "../../src/vfs/open-vfs.ts";
import { ManualClock } from "../support/manual-clock.ts";
import type { DiskCall } from "../support/simulated-disk.ts";
import { VfsHarness } from "../support/vfs-harness.ts";
import { applyTo } from "../support/vfs-operations.ts";

/** A power cut that takes everything that was not synced. */
const EVERYTHING: Random = { bytes: (length) => new Uint8Array(length), fraction: () => 0 };

function callsOf(fs: VfsHarness): Map<DiskCall, number> {
  const calls = new Map<DiskCall, number>();
  fs.disk.before = (call) => calls.set(call, (calls.get(call) ?? 0) + 1);
  return calls;
}

describe("fsync", () => {
  test("of any file makes the bytes of what took another's name durable with the name", async () => {
    const fs = await VfsHarness.create();
    await fs.vfs.fsync(await fs.make("config", "old"));
    const other = await fs.make("other", "x");
    await fs.make("config.tmp", "new version");
    await fs.rename("config.tmp", "config");
    await fs.vfs.fsync(other);
    fs.restart(EVERYTHING);
    expect(await fs.text("config")).toBe("new version");
  });

  test("of many files at once shares the journal's syncs", async () => {
    const fs = await VfsHarness.create();
    const inos = [];
    for (let index = 0; index < 30; index++) inos.push(await fs.make(`f${index}`, `text ${index}`));
    fs.vfs.commit();
    const calls = callsOf(fs);
    await Promise.all(inos.map((ino) => fs.vfs.fsync(ino)));
    expect(calls.get("sync")).toBeLessThan(10);
    fs.restart(EVERYTHING);
    for (let index = 0; index < 30; index++) expect(await fs.text(`f${index}`)).toBe(`text ${index}`);
  });

  test("that fails is told, and nothing is answered as if it were safe any more", async () => {
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

describe("a commit", () => {
  test("is one write, whatever the batch holds, and none when nothing changed", async () => {
    const fs = await VfsHarness.create();
    await fs.make("warm");
    fs.vfs.commit();
    const calls = callsOf(fs);
    for (let index = 0; index < 10; index++) await fs.make(`f${index}`);
    expect(calls.get("write")).toBeUndefined();
    fs.vfs.commit();
    expect(calls.get("write")).toBe(1);
    fs.vfs.commit();
    expect(calls.get("write")).toBe(1);
  });
});

describe("the journal", () => {
  test("is checkpointed by itself, so that it stays short", async () => {
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

  test("a record that this version does not know is an error, not skipped", async () => {
    const fs = await VfsHarness.create();
    await fs.make("f");
    fs.vfs.commit();
    const disk = fs.disk.afterKill();
    const foreign = new Journal(disk, { segmentBytes: 65_536, frameBytes: 4_096 }, 0, () => {});
    foreign.append((writer) => writer.u8(200), false);
    foreign.flush();
    fs.disk = disk;
    expect(() => fs.restart()).toThrow(expect.toSatisfy((error) => hasCode(error, "state_corrupt")));
  });
});

describe("the tables", () => {
  test("that were damaged are an error with a hint", async () => {
    const fs = await VfsHarness.create();
    await fs.make("f", "x");
    await fs.vfs.checkpoint();
    for (const part of ["objects", "head"] as const) {
      const storage = fs.disk.afterKill();
      const tables = storage.openTables();
      const damaged: StateTables = {
        inode: (ino) => tables.inode(ino),
        inodeOf: (id) => tables.inodeOf(id),
        greatestIno: () => tables.greatestIno(),
        head: () => (part === "head" ? Uint8Array.of(9, 0, 0, 0) : tables.head()),
        objects: () => Array.from(tables.objects(), (row) => (part === "objects" ? row.subarray(0, 20) : row)),
        sealed: () => tables.sealed(),
        apply: (change) => tables.apply(change),
        sync: () => tables.sync(),
        close: () => tables.close(),
      };
      storage.openTables = () => damaged;
      const { blocks, clock, root: base } = fs;
      expect(() => openVfs({ storage, blocks, clock, base, log: silentLog })).toThrow(
        expect.toSatisfy((error) => hasCode(error, "state_corrupt") && error.hint !== undefined),
      );
    }
  });

  test("tell a restart of changes that the journal does not hold any more", async () => {
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

describe("a full disk", () => {
  test("lets files be cut and punched, which makes room", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f");
    await fs.write(ino, 0, Buffer.alloc(200_000, 1));
    fs.vfs.commit();
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
    fs.vfs.commit();
    fs.restart();
    expect((await fs.find("f"))?.size).toBe(50_000);
    expect((await fs.read(ino, 990, 20)).equals(Buffer.concat([Buffer.alloc(10), Buffer.alloc(10, 1)]))).toBe(true);
  });

  test("names are still looked up and listed", async () => {
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
});
