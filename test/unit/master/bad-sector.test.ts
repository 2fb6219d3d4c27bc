/** A sector of a master's disk that cannot be read costs the blocks on it, until they are uploaded again. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { decodeCar } from "../../../src/format/blocks/car.ts";
import { openFolderStorage } from "../../../src/master/store/folder-storage.ts";
import { type PackDisk, systemPackDisk } from "../../../src/master/store/pack-disk.ts";
import { systemError } from "../../../src/simulate/disks/faulty-disk.ts";
import { rawBlock } from "../../contract/block-store.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";
import { startTestMaster, type TestMaster } from "../../support/test-master.ts";

const LENGTH = 100_000;
const blocks = Array.from({ length: 8 }, (_, at) => rawBlock(LENGTH, at + 1));
const cids = blocks.map(({ cid }) => cid);
const BAD = 4;

test("a block on a bad sector is missing, its neighbors arrive in one call, and an upload heals it", async () => {
  const disk = new SectorDisk();
  await using master = await started(disk);
  for (const at of blocks.keys()) expect(await put(master, at)).toBe(200);
  disk.bad = { offset: BAD * LENGTH + 8_192, length: 4_096 };
  expect(await many(master)).toEqual(cids.filter((_, at) => at !== BAD));
  expect(await missing(master)).toEqual([cids[BAD]]);
  expect(await put(master, BAD)).toBe(200);
  expect((await master.call(`/ipfs/${cids[BAD]}?format=raw`)).status).toBe(200);
  expect(await missing(master)).toEqual([]);
  expect(await many(master)).toEqual(cids);
});

test("a block that was healed elsewhere is there after its index was lost, too", async () => {
  const disk = new SectorDisk();
  const dir = await temporaryFolder();
  {
    await using master = await started(disk, dir);
    for (const at of blocks.keys()) expect(await put(master, at)).toBe(200);
    disk.bad = { offset: BAD * LENGTH + 8_192, length: 4_096 };
    expect(await missing(master)).toEqual([]);
    expect(await many(master)).toEqual(cids.filter((_, at) => at !== BAD));
    expect(await put(master, BAD)).toBe(200);
  }
  for (const owner of await readdir(join(dir, "owners"))) {
    const home = join(dir, "owners", owner);
    for (const name of await readdir(home)) if (name.startsWith("index.db")) await rm(join(home, name));
  }
  await using again = await started(disk, dir);
  expect(await many(again)).toEqual(cids);
});

test("no block counts as damaged while the disk cannot read anything", async () => {
  const disk = new SectorDisk();
  await using master = await started(disk);
  await put(master, 0);
  disk.bad = { offset: 0, length: Infinity };
  expect((await master.call(`/ipfs/${cids[0]}?format=raw`)).status).toBe(502);
  disk.bad = undefined;
  expect((await master.call(`/ipfs/${cids[0]}?format=raw`)).status).toBe(200);
  expect(await missing(master)).toEqual(cids.slice(1));
});

/** The system's disk, which cannot read one range of every pack. */
class SectorDisk {
  bad: { readonly offset: number; readonly length: number } | undefined;

  readonly disk: PackDisk = {
    ...systemPackDisk,
    open: async (path, access) => {
      const file = await systemPackDisk.open(path, access);
      if (file === undefined || !/pack\/[0-9a-f]{32}(\.open)?$/.test(path)) return file;
      const read: typeof file.read = async (offset, length, memory) => {
        const { bad } = this;
        if (bad !== undefined && offset < bad.offset + bad.length && bad.offset < offset + length)
          throw systemError("EIO");
        return file.read(offset, length, memory);
      };
      return { ...file, read };
    },
  };
}

async function started({ disk }: SectorDisk, dir?: string): Promise<TestMaster & AsyncDisposable> {
  const ports = { clock: systemClock, random: systemRandom, log: silentLog };
  const master = await startTestMaster({
    storage: await openFolderStorage({ dir: dir ?? (await temporaryFolder()), disk, ...ports }),
  });
  return { ...master, [Symbol.asyncDispose]: () => master.stop() };
}

async function put(master: TestMaster, at: number): Promise<number> {
  const { cid, bytes } = blocks[at] ?? rawBlock(0);
  return (await master.call(`/v0/block?cid=${cid}`, { method: "PUT", body: new Uint8Array(bytes) })).status;
}

async function missing(master: TestMaster): Promise<string[]> {
  const answer = await master.call("/v1/blocks/have", { method: "POST", body: JSON.stringify({ cids }) });
  return ((await answer.json()) as { missing: string[] }).missing;
}

/** The blocks that one call brings. */
async function many(master: TestMaster): Promise<string[]> {
  const answer = await master.call("/v1/blocks/get", { method: "POST", body: JSON.stringify({ cids }) });
  if (answer.status !== 200) throw new Error(await answer.text());
  if (answer.body === null) throw new Error("an answer without a body");
  const found: string[] = [];
  for await (const section of decodeCar(answer.body)) if (section.kind === "block") found.push(section.cid);
  return found;
}
