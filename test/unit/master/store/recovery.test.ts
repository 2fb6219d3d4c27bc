/** What a master's store makes of torn files, flipped bits, full disks, failing flushes, and an index that is wrong or gone. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { hasCode } from "../../../../src/base/errors.ts";
import type { Wallet } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { blake3 } from "../../../../src/crypto/hash.ts";
import { cidOf, digestOf } from "../../../../src/format/blocks/cid.ts";
import { decodeFooter, encodeFooter, readTail } from "../../../../src/format/blocks/pack.ts";
import { coveringRows } from "../../../../src/packs/covering-rows.ts";
import { OpenPack } from "../../../../src/master/store/open-pack.ts";
import { temporaryIndex } from "../../../../src/master/store/block-index.ts";
import { openMasterStore } from "../../../../src/master/store/master-store.ts";
import { packsFolder } from "../../../../src/master/store/owner-packs.ts";
import { PackHandles } from "../../../../src/master/store/pack-handles.ts";
import { openPath, rowsPath } from "../../../../src/master/store/pack-path.ts";
import { footerOf } from "../../../../src/master/store/pack-disk.ts";
import { recover } from "../../../../src/master/store/recovery.ts";
import { inspectUnfinished, type UnfinishedPack } from "../../../../src/master/store/unfinished-pack.ts";
import type { OwnerBlocks } from "../../../../src/master/store/owner-blocks.ts";
import { BLOCK_OVERHEAD_BYTES } from "../../../../src/master/limits.ts";
import { failure, rawBlock } from "../../../contract/block-store.ts";
import { noise } from "../../../support/bytes.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { Stopped } from "../../../../src/simulate/disks/faulty-disk.ts";
import { SimulatedPackDisk } from "../../../support/simulated-pack-disk.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { systemError } from "../../../support/watched-disk.ts";

const OWNER = ownerOf(0);
const PACK_BYTES = 20_000;
const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;

let dir: string;
let disk: SimulatedPackDisk;
const [one, two, three, four] = [rawBlock(1_000), rawBlock(1_001), rawBlock(1_002), rawBlock(1_003)];

beforeEach(async () => {
  dir = join(await temporaryFolder(), "data");
  disk = new SimulatedPackDisk();
});

describe("an unfinished batch", () => {
  test.each([
    { ending: "rows" as const, from: 60, step: HEAVY ? 1 : 7 },
    { ending: "open" as const, from: 1_000, step: 97 },
  ])(
    "cut at any byte of its .$ending file keeps earlier batches, and all or none of its own blocks",
    async ({ ending, from, step }) => {
      await withOwner(async (owner) => {
        await owner.put([one]);
        await owner.put([two, three]);
      });
      const [path] = pathsOf(ending);
      const whole = disk.files.get(path ?? "")?.size ?? 0;
      const seen = new Set<number>();
      for (const size of [...range(from, whole, step), whole]) {
        const before = disk;
        disk = copyOf(before);
        disk.files.get(path ?? "")?.truncate(size);
        loseIndex();
        await withOwner(async (owner) => {
          const has = await owner.has([one.cid, two.cid, three.cid]);
          seen.add(has.size);
          const batch = [two, three].filter(({ cid }) => has.has(cid)).length;
          expect([0, 2]).toContain(batch);
          await expectIntact(
            owner,
            [one, two, three].filter(({ cid }) => has.has(cid)),
          );
          await owner.put([one, two, three, four]);
        });
        await withOwner((owner) => expectIntact(owner, [one, two, three, four]));
        disk = before;
      }
      expect(seen).toEqual(new Set([1, 3]));
    },
  );

  test("whose pack has no durable name gets one before the next answer", async () => {
    await withOwner(async (owner) => {
      disk.before = (call) => {
        if (call !== "sync folder") return;
        // Nor does the process do anything more.
        disk.stopAfter(0);
        throw new Stopped();
      };
      expect(hasCode(await failure(owner.put([one])), "store_failed")).toBe(true);
    });
    disk = disk.afterKill();
    await stored([one, two]);
    await survivePowerLoss([one, two]);
  });

  test("that was acknowledged is not cut off, even if its bytes are damaged", async () => {
    await withOwner(async (owner) => {
      await owner.put([one]);
      await owner.put([two, three]);
    });
    flip(two);
    await withOwner(async (owner) => {
      await expectIntact(owner, [one, three]);
      expect(hasCode(await failure(owner.get(two.cid)), "block_corrupt")).toBe(true);
    });
  });
});

describe("a pack", () => {
  test("whose last block ends like a pack is not taken for a sealed one", async () => {
    const inner = noise(500, 4);
    const footer = encodeFooter(
      [{ digest: blake3(inner), offset: 0, length: inner.length, codec: 0 }],
      new Uint8Array(),
    );
    const bytes = Buffer.concat([inner, footer.bytes]);
    const hostile = { cid: cidOf("raw", bytes), bytes };
    await stored([hostile]);
    loseIndex();
    await stored([one]);
    loseIndex();
    await withOwner(async (owner) => expect(await lacking(owner, [hostile, one])).toEqual([]));
  });

  test("that holds a block twice, because an index forgot it, still gets a footer", async () => {
    const pack = await OpenPack.create(disk, dir, "0".repeat(32));
    await pack.flush(await pack.write([one, two], false));
    await pack.flush(await pack.write([three, one, four], true));
    await pack.seal();
    const file = await disk.open(join(dir, "0".repeat(32)));
    const footer = file && (await footerOf(file));
    const places = [one, two, three, four].map(({ cid }) => footer?.find(digestOf(cid))?.offset);
    expect(places).toEqual([0, 1_000, 2_001, 4_003]);
  });

  test("that holds a block twice counts as sealed once it has its footer, even under its open name", async () => {
    const name = "0".repeat(32);
    const pack = await OpenPack.create(disk, dir, name);
    await pack.flush(await pack.write([one, two], false));
    await pack.flush(await pack.write([three, one], false));
    await pack.flush(await pack.write([four], true));
    await pack.close();
    const found = await inspected(name);
    expect(found).toMatchObject({ sealed: true, damaged: false, unnamed: 0 });
    const places = [one, two, three, four].map(({ cid }) => {
      return found.rows.find(({ digest }) => Buffer.compare(digest, digestOf(cid)) === 0)?.offset;
    });
    expect(places).toEqual([0, 1_000, 2_001, 4_003]);
  });

  test("whose last block imitates a footer with wrong offsets does not count as sealed", async () => {
    const name = "0".repeat(32);
    const pack = await OpenPack.create(disk, dir, name);
    await pack.flush(await pack.write([one, two], false));
    const row = { digest: digestOf(one.cid), offset: 1_000, length: two.bytes.length, codec: 0 };
    const last = { ...row, digest: digestOf(two.cid), offset: 0, length: one.bytes.length };
    const inner = noise(500, 4);
    const end = { digest: blake3(inner), offset: 2_001, length: inner.length, codec: 0 };
    const bytes = Buffer.concat([inner, encodeFooter([last, row, end], new Uint8Array()).bytes]);
    await pack.flush(await pack.write([{ cid: cidOf("raw", bytes), bytes }], false));
    await pack.close();
    const found = await inspected(name);
    expect(found).toMatchObject({ sealed: false, damaged: false });
    expect(found.rows).toHaveLength(3);
  });

  test("with unidentified bytes gets a valid footer, even if those bytes repeat", async () => {
    const file = await disk.create(join(dir, "pack"));
    const end = 9 * 1024 * 1024;
    await file.write(0, [new Uint8Array(end)]);
    await file.write(100, [one.bytes]);
    const row = { digest: digestOf(one.cid), offset: 100, length: one.bytes.length, codec: 0 };
    const { bytes } = encodeFooter(await coveringRows(file, [row, { ...row, offset: 3_000 }], end), new Uint8Array());
    const shape = readTail(bytes, end + bytes.length);
    expect(decodeFooter(bytes, shape).footer.find(row.digest)).toMatchObject({ offset: 100 });
  });
});

describe("a failed flush", () => {
  test("does not count as success later: recovered blocks are written again", async () => {
    await withOwner(async (owner) => {
      await owner.put([one]);
      disk.before = (call) => {
        if (call === "sync" || call === "truncate") throw systemError("EIO");
      };
      expect(hasCode(await failure(owner.put([two])), "store_failed")).toBe(true);
    });
    disk = disk.afterKill();
    await withOwner(async (owner) => {
      const has = await owner.has([one.cid, two.cid]);
      expect(has.has(one.cid)).toBe(true);
      await owner.put([two]);
    });
    await survivePowerLoss([one, two]);
  });

  test("ends that pack only: the next put goes elsewhere, and earlier blocks stay readable", async () => {
    await withOwner(async (owner) => {
      await owner.put([one]);
      let failures = 0;
      disk.before = (call) => {
        if (call === "sync" && failures++ === 0) throw systemError("EIO");
      };
      expect(hasCode(await failure(owner.put([two])), "store_failed")).toBe(true);
      expect(await owner.put([two, three])).toEqual({ stored: 2, known: 0 });
      await expectIntact(owner, [one, two, three]);
      expect(pathsOf("open")).toHaveLength(2);
    });
    loseIndex();
    await withOwner((owner) => expectIntact(owner, [one, two, three]));
  });
});

describe("a full disk", () => {
  test("refuses what does not fit, keeps the rest usable, and accepts it once there is space", async () => {
    await withOwner(async (owner) => {
      await owner.put([one]);
      disk.capacity = used() + 1_500;
      expect(hasCode(await failure(owner.put([two, three])), "disk_full")).toBe(true);
      expect(await owner.has([two.cid, three.cid])).toEqual(new Set());
      await owner.put([two]);
      await expectIntact(owner, [one, two]);
      disk.capacity = Infinity;
      await owner.put([two, three]);
      await expectIntact(owner, [one, two, three]);
    });
    loseIndex();
    await withOwner(async (owner) => {
      await expectIntact(owner, [one, two, three]);
      expect(owner.usedBytes).toBe(3_003 + 3 * BLOCK_OVERHEAD_BYTES);
    });
  });

  test("with a failing truncate leaves nothing behind in a pack that is sealed later", async () => {
    const fill = Array.from({ length: 12 }, (_, index) => rawBlock(1_500 + index));
    await withOwner(async (owner) => {
      await owner.put(fill);
      disk.before = (call) => {
        if (call === "truncate") throw systemError("EIO");
      };
      disk.capacity = used() + 2_900;
      await failure(owner.put([rawBlock(3_000)]));
      disk.before = () => {};
      disk.capacity = Infinity;
      await owner.put([one, two]);
    });
    loseIndex();
    await withOwner(async (owner) => expect(await lacking(owner, [...fill, one, two])).toEqual([]));
  });
});

describe("a block with a flipped bit", () => {
  test.each([
    ["in an open pack", 1],
    ["in a sealed pack", 20],
  ])("%s is never read as something else, counts as missing, and is healed when sent again", async (_, count) => {
    const others = Array.from({ length: count }, (_each, index) => rawBlock(2_000 + index));
    await stored([one, ...others]);
    flip(one);
    await withOwner(async (owner) => {
      expect(hasCode(await failure(owner.getMany([one.cid, ...others.map(({ cid }) => cid)])), "block_corrupt")).toBe(
        true,
      );
      expect(await owner.has([one.cid])).toEqual(new Set());
      expect(await owner.size(one.cid)).toBe(undefined);
    });
    await withOwner(async (owner) => {
      expect(await owner.has([one.cid])).toEqual(new Set());
      expect(await owner.put([one])).toEqual({ stored: 1, known: 0 });
      await expectIntact(owner, [one, ...others]);
    });
    // With two copies in the packs, the one that is intact must be found again, whichever comes first.
    await stored(Array.from({ length: 20 }, (_each, index) => rawBlock(3_000 + index)));
    loseIndex();
    await withOwner((owner) => expectIntact(owner, [one, ...others]));
  });
});

describe("the index", () => {
  test("that is older than a pack's footer learns the rest of that pack", async () => {
    await stored([one]);
    const older = readFileSync(indexFile());
    const more = Array.from({ length: 20 }, (_, index) => rawBlock(2_000 + index));
    await stored(more);
    writeFileSync(indexFile(), older);
    await withOwner(async (owner) => expect(await lacking(owner, [one, ...more])).toEqual([]));
  });

  test("that cannot be read is reported, and no pack is blamed", async () => {
    await stored(Array.from({ length: 20 }, (_, index) => rawBlock(2_000 + index)));
    const handles = new PackHandles(disk);
    const index = temporaryIndex();
    index.add = () => {
      throw new Database.SqliteError("database disk image is malformed", "SQLITE_CORRUPT");
    };
    const folder = packsFolder(join(dir, "owners", OWNER));
    const opened = recover({ disk, folder, index, handles, log: silentLog, packBytes: PACK_BYTES, leased: 0 });
    await expect(opened).rejects.toMatchObject({ code: "SQLITE_CORRUPT" });
    await handles.close();
    index.close();
  });

  test("that has a wrong offset for a block is corrected from the pack's footer", async () => {
    const blocks = Array.from({ length: 20 }, (_, index) => rawBlock(2_000 + index));
    await stored(blocks);
    const db = new Database(indexFile());
    db.prepare("UPDATE blocks SET offset = offset + 7 WHERE digest = ?").run(digestOf(blocks[2]?.cid ?? one.cid));
    db.close();
    await withOwner(async (owner) => expect(await lacking(owner, blocks)).toEqual([]));
  });

  test.each([
    ["a length", "length = length + 7"],
    ["a missing pack", "pack = 9999"],
    ["a pack with an invalid name", "pack = (SELECT id FROM packs WHERE name = 'nonsense')"],
    ["an offset", "offset = offset + 7"],
  ])(
    "with a bad row for a block (%s) serves the block again once it is sent again, if not before",
    async (_, change) => {
      const blocks = Array.from({ length: 20 }, (_, index) => rawBlock(2_000 + index));
      const block = blocks[2] ?? one;
      await stored(blocks);
      const used = usedBy(blocks);
      const db = new Database(indexFile());
      db.prepare("INSERT INTO packs (name, sealed, \"end\") VALUES ('nonsense', 1, 0)").run();
      db.prepare(`UPDATE blocks SET ${change} WHERE digest = ?`).run(digestOf(block.cid));
      db.close();
      await withOwner(async (owner) => {
        await lacking(owner, blocks).catch(() => {});
        await owner.put([block]);
        expect(await lacking(owner, blocks)).toEqual([]);
        expect(owner.usedBytes).toBe(used);
      });
    },
  );

  test("whose pages are overwritten is rebuilt while in use", async () => {
    const blocks = Array.from({ length: 300 }, (_, index) => rawBlock(50 + index));
    await stored(blocks);
    const bytes = readFileSync(indexFile());
    bytes.fill(noise(8_192, 3), 4_096);
    writeFileSync(indexFile(), bytes);
    await withOwner(async (owner) => {
      await Promise.all(blocks.map(async (block) => expectIntact(owner, [block])));
      expect(owner.usedBytes).toBe(usedBy(blocks));
    });
  });

  test("remembers what is complete across restarts", async () => {
    const bytes = noise(100, 1);
    const node = { cid: cidOf("dag-cbor", bytes), bytes };
    await withOwner(async (owner) => {
      await owner.put([node]);
      await owner.markComplete([node.cid], 0);
    });
    await withOwner(async (owner) => expect(await owner.complete([node.cid])).toEqual(new Set([node.cid])));
    loseIndex();
    await withOwner(async (owner) => expect(await owner.complete([node.cid])).toEqual(new Set()));
  });
});

describe("many owners", () => {
  test("are served with few open files, even all at once", async () => {
    const store = await openMasterStore({ ...options(), disk: undefined, maxOpenOwners: 3 });
    const before = openFiles();
    const work = async (index: number) => {
      const owner = await store.of(ownerOf(index % 30));
      const block = rawBlock(100 + index);
      await owner.put([block]);
      await expectIntact(owner, [block]);
      return owner.usedBytes;
    };
    await Promise.all(Array.from({ length: 90 }, (_, index) => work(index)));
    // An index and its log, a pack and its rows for each open owner, and the packs that are open for reading.
    expect(openFiles() - before).toBeLessThanOrEqual(3 * 4 + 64);
    expect(await store.owners()).toHaveLength(30);
    const owner = await store.of(ownerOf(4));
    await expectIntact(owner, [rawBlock(104), rawBlock(134), rawBlock(164)]);
    expect(owner.usedBytes).toBe(104 + 134 + 164 + 3 * BLOCK_OVERHEAD_BYTES);
    expect(hasCode(await failure(owner.get(rawBlock(105).cid)), "block_not_found")).toBe(true);
    await store[Symbol.asyncDispose]();
  });

  test("may store blocks of 4 MiB, and no larger ones", async () => {
    const [most, more] = [4 << 20, (4 << 20) + 1].map((length) => {
      const bytes = new Uint8Array(length);
      return { cid: cidOf("raw", bytes), bytes };
    }) as [Block, Block];
    await withOwner(async (owner) => {
      await owner.put([most]);
      expect(hasCode(await failure(owner.put([more, one])), "limit_exceeded")).toBe(true);
      expect(await owner.has([one.cid])).toEqual(new Set());
      await expectIntact(owner, [most]);
    });
  });

  test("leave nothing on disk if they store nothing", async () => {
    await using store = await openMasterStore({ ...options(), disk: undefined });
    const owner = await store.of(ownerOf(5));
    expect([(await owner.has([one.cid])).size, owner.usedBytes]).toEqual([0, 0]);
    expect(hasCode(await failure(owner.getMany([one.cid])), "block_not_found")).toBe(true);
    expect(await owner.put([])).toEqual({ stored: 0, known: 0 });
    expect(await store.owners()).toEqual([]);
  });

  test("keep every acknowledged block when the store is closed midway", async () => {
    const store = await openMasterStore(options());
    const owner = await store.of(OWNER);
    const blocks = Array.from({ length: 30 }, (_, index) => rawBlock(500 + index));
    const outcomes = blocks.map(async (block) => failure(owner.put([block])));
    await store[Symbol.asyncDispose]();
    const errors = await Promise.all(outcomes);
    const answered = blocks.filter((_, index) => errors[index] === undefined);
    expect(hasCode(await failure(owner.put([one])), "store_failed")).toBe(true);
    await withOwner((again) => expectIntact(again, answered));
  });
});

function options() {
  return { dir, clock: systemClock, random: systemRandom, log: silentLog, packBytes: PACK_BYTES, disk };
}

/** A pack that grew when the process ended, without an index. */
async function inspected(name: string): Promise<UnfinishedPack> {
  const [file, journal] = [await disk.open(openPath(dir, name)), await disk.open(rowsPath(dir, name))];
  if (file === undefined) throw new Error("the pack is not there");
  return inspectUnfinished(name, file, journal, undefined);
}

async function withOwner(work: (owner: OwnerBlocks) => Promise<void>): Promise<void> {
  await using store = await openMasterStore(options());
  await work(await store.of(OWNER));
}

async function stored(blocks: readonly Block[]): Promise<void> {
  await withOwner(async (owner) => void (await owner.put(blocks)));
}

function* range(from: number, to: number, step: number): Generator<number> {
  for (let at = from; at < to; at += step) yield at;
}

async function expectIntact(owner: OwnerBlocks, blocks: readonly Block[]): Promise<void> {
  expect(await lacking(owner, blocks)).toEqual([]);
}

/** Those that it does not have, or not as they were. */
async function lacking(owner: OwnerBlocks, blocks: readonly Block[]): Promise<Block[]> {
  const cids = blocks.map(({ cid }) => cid);
  const [has, found] = [await owner.has(cids), await owner.getMany(cids)];
  return blocks.filter(
    ({ cid, bytes }) => !has.has(cid) || Buffer.compare(found.get(cid) ?? bytes.slice(1), bytes) !== 0,
  );
}

function ownerOf(index: number): Wallet {
  return `0x${String(index).padStart(40, "0")}` as Wallet;
}

function indexFile(): string {
  return join(dir, "owners", OWNER, "index.db");
}

function loseIndex(): void {
  for (const ending of ["", "-wal"]) rmSync(indexFile() + ending, { force: true });
}

function pathsOf(ending: "rows" | "open"): string[] {
  return [...disk.files.keys()].filter((path) => path.endsWith(`.${ending}`));
}

/** A disk of its own with the same files. */
function copyOf(of: SimulatedPackDisk): SimulatedPackDisk {
  return of.copy();
}

/** Flips a bit of the block wherever it lies. */
function flip({ bytes }: Block): void {
  for (const inode of disk.files.values()) {
    const at = Buffer.from(inode.bytes.buffer, inode.bytes.byteOffset, inode.size).indexOf(Buffer.from(bytes));
    if (at >= 0) inode.bytes[at + 9] = (inode.bytes[at + 9] ?? 0) ^ 4;
  }
}

function used(): number {
  return [...disk.files.values()].reduce((sum, { size }) => sum + size, 0);
}

function openFiles(): number {
  return readdirSync("/proc/self/fd").length;
}

/** Whatever a power loss leaves of what was not flushed, and without the index. */
async function survivePowerLoss(blocks: readonly Block[]): Promise<void> {
  for (let seed = 0; seed < 10; seed++) {
    const before = disk;
    disk = disk.afterPowerLoss(seededRandom(seed));
    loseIndex();
    await withOwner((owner) => expectIntact(owner, blocks));
    disk = before;
  }
}

/** What different blocks count for. */
function usedBy(blocks: readonly Block[]): number {
  return blocks.reduce((sum, { bytes }) => sum + bytes.length + BLOCK_OVERHEAD_BYTES, 0);
}
