/** A journal of rows that rots beside a pack that grows: no block is lost for it that is healthy, and what nobody can name is said. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import type { Cid, Wallet } from "../../../src/base/ids.ts";
import { silentLog } from "../../../src/base/log.ts";
import { systemRandom } from "../../../src/base/random.ts";
import type { Block } from "../../../src/blocks/block-store.ts";
import { digestOf } from "../../../src/format/blocks/cid.ts";
import { auditData } from "../../../src/master/store/audit.ts";
import { openMasterStore } from "../../../src/master/store/master-store.ts";
import type { OwnerBlocks } from "../../../src/master/store/owner-blocks.ts";
import { repairData } from "../../../src/master/store/repair.ts";
import { rawBlock } from "../../contract/block-store.ts";
import { SimulatedPackDisk } from "../../support/simulated-pack-disk.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";
import { systemError } from "../../support/watched-disk.ts";

const OWNER = `0x${"a".repeat(40)}` as Wallet;
const PACK_BYTES = 20_000;
const first = [rawBlock(400), rawBlock(401)];
const second = Array.from({ length: 6 }, (_, index) => rawBlock(500 + index));
const third = [rawBlock(600), rawBlock(601)];
const all = [...first, ...second, ...third];

let dir: string;
let disk: SimulatedPackDisk;

beforeEach(async () => {
  dir = join(await temporaryFolder(), "data");
  disk = new SimulatedPackDisk();
});

describe("a journal that is corrupted while its pack is written", () => {
  const fill = Array.from({ length: 12 }, (_, index) => rawBlock(1_500 + index));

  test.each([
    ["is noticed when the pack is full", () => rotRow(second[2])],
    [
      "or cannot be read when the pack is full",
      () => {
        disk.before = (call, path) => {
          if (call === "read" && path.endsWith(".rows")) throw systemError("EIO");
        };
      },
    ],
  ])("%s: the pack gets no incomplete footer, and puts go on", async (_, rot) => {
    await within(async (owner) => {
      await storeAll(owner);
      rot();
      await owner.put(fill);
      disk.before = () => {};
      await expectIntact(owner, [...all, ...fill]);
      await owner.put([rawBlock(700)]);
    });
    for (const { kind, what } of await audit())
      expect([kind, what]).toEqual(["footer", expect.stringContaining("journal")]);
    await within((owner) => expectIntact(owner, [...all, ...fill, rawBlock(700)]));
    expect(await audit()).toEqual([]);
    loseIndex();
    await within((owner) => expectIntact(owner, [...all, ...fill, rawBlock(700)]));
  });
});

describe("a journal with a corrupt row and no index", () => {
  test("loses no block: a gap between known blocks is tried as one block", async () => {
    await within(storeAll);
    rotRow(second[2]);
    loseIndex();
    // Whether it is one is not known: so the pack stays as it is, and is named each time.
    for (let start = 0; start < 2; start++) {
      await within(async (owner) => {
        await expectIntact(owner, all);
        await owner.put([rawBlock(700 + start)]);
      });
      expect(await audit()).toMatchObject([{ kind: "footer", what: expect.stringContaining("502 bytes") }]);
    }
    await repairData({ dir, disk, clock: systemClock, log: silentLog }, await audit());
    expect(await audit()).toEqual([]);
    loseIndex();
    await within((owner) => expectIntact(owner, [...all, rawBlock(700), rawBlock(701)]));
  });

  test.each([0, 4, 19, 20, 60, 250])("loses no block when byte %i of a batch's frame is changed", async (at) => {
    await within(storeAll);
    const journal = file(".rows");
    const from = 20 + first.length * 40;
    journal.bytes[from + at] = (journal.bytes[from + at] ?? 0) ^ 0x21;
    loseIndex();
    expect(await within((owner) => lacking(owner, all))).toEqual([]);
  });

  test("loses only blocks that lie side by side and both lost their rows", async () => {
    await within(storeAll);
    for (const block of second.slice(2, 4)) rotRow(block);
    loseIndex();
    const rest = all.filter((block) => !second.slice(2, 4).includes(block));
    await within(async (owner) => {
      await expectIntact(owner, rest);
      expect((await owner.has(cidsOf(all))).size).toBe(rest.length);
      await owner.put(all);
      await expectIntact(owner, all);
    });
    const damage = await audit();
    expect(damage).toMatchObject([{ kind: "footer", what: expect.stringContaining("1005 bytes") }]);
    await repairData({ dir, disk, clock: systemClock, log: silentLog }, damage);
    expect(await audit()).toEqual([]);
    await within((owner) => expectIntact(owner, all));
  });

  test("loses no block that an outdated index knows, through restarts and repairs", async () => {
    await within((owner) => owner.put(first));
    const index = join(dir, "owners", OWNER, "index.db");
    const behind = readFileSync(index);
    await within(async (owner) => void (await owner.put(second), await owner.put(third)));
    loseIndex();
    writeFileSync(index, behind);
    for (const block of [...first, ...second.slice(2, 4)]) rotRow(block);
    const rest = all.filter((block) => !second.slice(2, 4).includes(block));
    for (let start = 0; start < 2; start++) await within((owner) => expectIntact(owner, rest));
    await repairData({ dir, disk, clock: systemClock, log: silentLog }, await audit());
    await repairData({ dir, disk, clock: systemClock, log: silentLog }, await audit());
    expect(await audit()).toEqual([]);
    await within((owner) => expectIntact(owner, rest));
    loseIndex();
    await within((owner) => expectIntact(owner, rest));
  });

  test("loses nothing when the process dies at any call during recovery", async () => {
    await within(storeAll);
    rotRow(second[2]);
    for (const isLost of [true, false]) {
      if (isLost) loseIndex();
      for (let calls = 0; calls < 30; calls++) {
        disk.stopAfter(calls);
        await within((owner) => owner.put([rawBlock(700)])).catch(() => {});
        disk = disk.afterKill();
        expect(await within((owner) => lacking(owner, all))).toEqual([]);
        if (isLost) loseIndex();
      }
    }
  });
});

test("a pack that also lost its end opens with the blocks that it still has", async () => {
  await within(storeAll);
  rotRow(second[2]);
  const pack = file(".open");
  pack.truncate(pack.size - 1_000);
  const lost = await within((owner) => lacking(owner, all));
  expect(lost.toSorted()).toEqual(third.map(({ bytes }) => bytes.length));
  await within((owner) => owner.put(third));
  expect(await within((owner) => lacking(owner, all))).toEqual([]);
});

function storeOptions() {
  return { dir, clock: systemClock, random: systemRandom, log: silentLog, packBytes: PACK_BYTES, disk };
}

async function within<Result>(work: (owner: OwnerBlocks) => Promise<Result>): Promise<Result> {
  await using store = await openMasterStore(storeOptions());
  return await work(await store.of(OWNER));
}

async function storeAll(owner: OwnerBlocks): Promise<void> {
  for (const batch of [first, second, third]) await owner.put(batch);
}

async function expectIntact(owner: OwnerBlocks, blocks: readonly Block[]): Promise<void> {
  expect(await lacking(owner, blocks)).toEqual([]);
}

/** The sizes of those that it does not have, or not as they were. */
async function lacking(owner: OwnerBlocks, blocks: readonly Block[]): Promise<number[]> {
  const bad: number[] = [];
  for (const { cid, bytes } of blocks) {
    const found = await owner.get(cid).catch(() => Buffer.alloc(0));
    if (!(await owner.has([cid])).has(cid) || Buffer.compare(found, bytes) !== 0) bad.push(bytes.length);
  }
  return bad;
}

function cidsOf(blocks: readonly Block[]): Cid[] {
  return blocks.map(({ cid }) => cid);
}

async function audit() {
  return (await auditData({ dir, disk, onBytes: () => {} })).damage;
}

/** The one file with this ending. */
function file(ending: string) {
  const found = [...disk.files].find(([path]) => path.endsWith(ending))?.[1];
  if (found === undefined) throw new Error(`there is no ${ending}`);
  return found;
}

/** Flips a bit of the digest in the block's row. */
function rotRow(block: Block | undefined): void {
  const { bytes } = file(".rows");
  const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(digestOf(block?.cid as Cid));
  expect(at).toBeGreaterThan(0);
  bytes[at + 5] = (bytes[at + 5] ?? 0) ^ 4;
}

function loseIndex(): void {
  for (const ending of ["", "-wal"]) rmSync(join(dir, "owners", OWNER, `index.db${ending}`), { force: true });
}
