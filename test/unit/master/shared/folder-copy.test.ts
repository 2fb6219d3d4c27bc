/** What a copy of a data folder takes from a disk that cannot read some sectors, and how it names packs. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import type { Wallet } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { copyPacks } from "../../../../src/master/shared/folder-copy.ts";
import { packOf } from "../../../../src/master/shared/pack-objects.ts";
import { openMasterStore } from "../../../../src/master/store/master-store.ts";
import { type PackDisk, systemPackDisk } from "../../../../src/master/store/pack-disk.ts";
import { systemDatabases } from "../../../../src/objects/databases.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import { readFooter } from "../../../../src/packs/pack-footer.ts";
import { systemError } from "../../../../src/simulate/disks/faulty-disk.ts";
import { rawBlock } from "../../../contract/block-store.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const OWNER = `0x${"11".repeat(20)}` as Wallet;
const LENGTH = 20_480;
const COUNT = 5;
const blocks = Array.from({ length: COUNT }, (_, at) => rawBlock(LENGTH, at + 1));

const COPY = {
  owner: OWNER,
  disk: systemPackDisk,
  databases: systemDatabases,
  gone: new Set<string>(),
  verify: false,
  onPack: () => {},
};

/** The system's disk, which cannot read one byte of every sealed pack. */
function withBadSector(bad: number): PackDisk {
  return {
    ...systemPackDisk,
    open: async (path, access) => {
      const file = await systemPackDisk.open(path, access);
      if (file === undefined || !/pack\/[0-9a-f]{32}$/.test(path)) return file;
      const read: typeof file.read = async (offset, length, memory) => {
        if (offset <= bad && bad < offset + length) throw systemError("EIO");
        return file.read(offset, length, memory);
      };
      return { ...file, read };
    },
  };
}

test.each([
  ["among the blocks costs the block that lies there", 2 * LENGTH + 10_000, 1],
  ["in the footer costs nothing that the index knows", COUNT * LENGTH + 10, 0],
])("a bad sector %s", async (_, bad, damaged) => {
  const dir = await folderOfOnePack();
  const objects = new MemoryObjectStore();
  const disk = withBadSector(bad);
  const copy = { ...COPY, dir, disk, objects };
  expect(await copyPacks(copy)).toEqual({ copied: 1, skipped: 0, damaged });
  const counts: number[] = [];
  for await (const { name } of objects.list("pack/"))
    counts.push((await readFooter((length) => objects.getTail(name, length))).footer.count);
  expect(counts).toEqual([COUNT - damaged]);
});

test("packs whose names the log has given up get other names, which a repeated copy finds", async () => {
  const dir = await folderOfOnePack();
  const first = new MemoryObjectStore();
  expect(await copyPacks({ ...COPY, dir, objects: first })).toEqual({ copied: 1, skipped: 0, damaged: 0 });
  const gone = new Set(await packsIn(first));
  const objects = new MemoryObjectStore();
  expect(await copyPacks({ ...COPY, dir, objects, gone })).toEqual({ copied: 1, skipped: 0, damaged: 0 });
  expect(await copyPacks({ ...COPY, dir, objects, gone, verify: true })).toEqual({ copied: 0, skipped: 1, damaged: 0 });
  expect(await packsIn(objects)).toHaveLength(1);
  expect((await packsIn(objects)).filter((pack) => gone.has(pack))).toEqual([]);
});

async function folderOfOnePack(): Promise<string> {
  const dir = join(await temporaryFolder(), "data");
  const ports = { clock: systemClock, random: systemRandom, log: silentLog };
  await using stores = await openMasterStore({ dir, ...ports, packBytes: COUNT * LENGTH });
  await (await stores.of(OWNER)).put(blocks);
  return dir;
}

async function packsIn(objects: MemoryObjectStore): Promise<string[]> {
  const packs: string[] = [];
  for await (const { name } of objects.list("pack/")) packs.push(packOf(name) ?? name);
  return packs;
}
