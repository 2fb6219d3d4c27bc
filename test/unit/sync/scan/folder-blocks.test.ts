/** Blocks that a bucket lost, made of the files of a folder again. */
import { describe, expect, test } from "vitest";
import type { Cid, FileName } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { writeBytes } from "../../../../src/content/write.ts";
import type { DiskPath } from "../../../../src/sync/disk/disk.ts";
import { OWN_FOLDER } from "../../../../src/sync/disk/paths.ts";
import { findBlocksInFolder, FolderCopies } from "../../../../src/sync/scan/folder-blocks.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { MemorySyncDisk } from "../../../../src/simulate/folder/memory-sync-disk.ts";
import { smallChunks } from "../../../support/small-chunks.ts";

const at = (...names: readonly string[]) => names as unknown as DiskPath;
const textOf = (seed: number, length: number) =>
  Array.from({ length }, (_, index) => String.fromCharCode(97 + ((seed * 31 + index * index * (seed + 7)) % 26))).join(
    "",
  );

async function blocksOf(...texts: readonly string[]): Promise<Map<Cid, Uint8Array>> {
  const blocks = new Map<Cid, Uint8Array>();
  const sink = { put: (block: { cid: Cid; bytes: Uint8Array }) => void blocks.set(block.cid, block.bytes) };
  for (const text of texts) await writeBytes(sink, smallChunks, Buffer.from(text, "latin1"));
  return blocks;
}

async function found(disk: MemorySyncDisk, wanted: Iterable<Cid>) {
  const kept: (readonly [Cid, Buffer])[] = [];
  const keep = async ({ cid, bytes }: Block) => void kept.push([cid, Buffer.from(bytes)]);
  await findBlocksInFolder(disk, smallChunks, wanted, { keep });
  expect(new Set(kept.map(([cid]) => cid)).size).toBe(kept.length);
  return new Map(kept);
}

const plain = (blocks: ReadonlyMap<Cid, Uint8Array>) =>
  new Map([...blocks].map(([cid, bytes]) => [cid, Buffer.from(bytes)]));

describe("blocks in a folder", () => {
  const [single, long, other] = [textOf(1, 60), textOf(2, 5_000), textOf(3, 3_000)];

  function filled(): MemorySyncDisk {
    const disk = new MemorySyncDisk();
    disk.make(at("d"));
    disk.make(at("d", "e"));
    disk.write(at("single"), single);
    disk.write(at("d", "short"), "inline");
    disk.write(at("d", "e", "long"), long);
    disk.write(at("other"), other);
    return disk;
  }

  test("chunks and chunk lists of all files are found, and no others", async () => {
    const wanted = await blocksOf(single, long, other);
    expect(wanted.size).toBeGreaterThan(20);
    const nowhere = [...(await blocksOf(textOf(9, 70))).keys()];
    expect(await found(filled(), [...wanted.keys(), ...nowhere])).toEqual(plain(wanted));
    expect(await found(filled(), nowhere)).toEqual(new Map());
  });

  test("no more files are read once all are found", async () => {
    const disk = filled();
    const read: number[] = [];
    const wanted = await blocksOf(single);
    await findBlocksInFolder(disk, smallChunks, wanted.keys(), { keep: () => {}, read: (bytes) => read.push(bytes) });
    expect(read).toEqual([single.length]);
  });

  test("other filesystems below are skipped, and a directory mounted within itself is searched once", async () => {
    const disk = filled();
    const list = disk.list.bind(disk);
    const loop = async (path: DiskPath) => {
      const entries = await list(path.filter((name) => name !== ("again" as FileName)));
      const inner = (await list(at())).find(({ name }) => name === ("d" as FileName));
      const again = inner === undefined ? [] : [{ ...inner, name: "again" as FileName }];
      const elsewhere = entries.map(({ name, stat }) =>
        name === ("e" as FileName) ? { name, stat: { ...stat, dev: 99n } } : { name, stat },
      );
      return path.length === 0 ? elsewhere : [...elsewhere, ...again];
    };
    disk.list = loop;
    const wanted = await blocksOf(single, long, other);
    expect(await found(disk, wanted.keys())).toEqual(plain(await blocksOf(single, other)));
  });

  describe("that are requested again and again", () => {
    function copiesOf(disk: MemorySyncDisk, mostBytes = 1 << 20) {
      const clock = new ManualClock();
      const ending = new AbortController();
      const read: string[] = [];
      const open = disk.read.bind(disk);
      disk.read = (path) => {
        read.push(path.join("/"));
        return open(path);
      };
      const copies = new FolderCopies(disk, { mostBytes, signal: ending.signal, clock, log: silentLog });
      return { copies, clock, ending, read };
    }

    test("are found up to a byte limit, and no file is read after that", async () => {
      const wanted = [...(await blocksOf(long, other)).keys()];
      const all = await copiesOf(filled()).copies.find(smallChunks, wanted);
      expect(new Set(all.keys())).toEqual(new Set(wanted));
      const { copies, read } = copiesOf(filled(), 1_000);
      const some = await copies.find(smallChunks, wanted);
      expect([some.size > 0, some.size < wanted.length, read.length]).toEqual([true, true, 2]);
      // The rest of them.
      const rest = wanted.filter((cid) => !some.has(cid));
      expect((await copies.find(smallChunks, rest)).size).toBeGreaterThan(0);
    });

    test("are searched for again some time after a miss, or if something could not be read", async () => {
      const disk = filled();
      const { copies, clock, read } = copiesOf(disk);
      const wanted = [...(await blocksOf(single, textOf(9, 70))).keys()];
      const there = [...(await blocksOf(single)).keys()];
      expect(new Set((await copies.find(smallChunks, wanted)).keys())).toEqual(new Set(there));
      read.length = 0;
      expect((await copies.find(smallChunks, wanted)).size).toBe(0);
      expect(read).toEqual([]);
      disk.write(at("back"), textOf(9, 70));
      await clock.advance(11 * 60_000);
      expect((await copies.find(smallChunks, wanted)).size).toBe(wanted.length);
      const refusing = filled();
      const { copies: refused } = copiesOf(refusing);
      const list = refusing.list.bind(refusing);
      refusing.list = () => Promise.reject(Object.assign(new Error("once"), { code: "EMFILE" }));
      expect((await refused.find(smallChunks, there)).size).toBe(0);
      refusing.list = list;
      expect((await refused.find(smallChunks, there)).size).toBe(there.length);
    });

    test("are not searched for once the agent ends", async () => {
      const { copies, ending, read } = copiesOf(filled());
      ending.abort();
      expect((await copies.find(smallChunks, [...(await blocksOf(single)).keys()])).size).toBe(0);
      expect(read).toEqual([]);
    });
  });

  test("unreadable files and directories are skipped, and so is the folder's own .syncline", async () => {
    const disk = filled();
    disk.make(at(OWN_FOLDER));
    disk.write(at(OWN_FOLDER, "own"), textOf(5, 200));
    const refused = (name: string) => Object.assign(new Error(name), { code: "EUCLEAN" });
    const [list, read] = [disk.list.bind(disk), disk.read.bind(disk)];
    disk.list = (path) => (path.at(-1) === ("e" as FileName) ? Promise.reject(refused("e")) : list(path));
    disk.read = (path) => (path.at(-1) === ("other" as FileName) ? Promise.reject(refused("other")) : read(path));
    const wanted = await blocksOf(single, long, other, textOf(5, 200));
    expect(await found(disk, wanted.keys())).toEqual(plain(await blocksOf(single)));
  });
});
