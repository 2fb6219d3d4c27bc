/** Whether the disk has what a record says, where size and times tell nothing. */
import { describe, expect, test } from "vitest";
import type { Cid, FileName, Ino } from "../../../../src/base/ids.ts";
import { writeBytes } from "../../../../src/content/write.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { linkLongValues } from "../../../../src/format/blocks/linked-value.ts";
import { newRecord } from "../../../../src/format/files/record.ts";
import { MemorySyncDisk } from "../../../../src/simulate/folder/memory-sync-disk.ts";
import { contentOnDisk, hasRecord, LocalData } from "../../../../src/sync/scan/local-content.ts";
import { foundAs, NO_CHILDREN } from "../../../../src/sync/scan/walk.ts";
import { smallChunks } from "../../../support/small-chunks.ts";
import { path } from "../../../support/sync-world.ts";

test.each([3, 1_000])(
  "a symlink with another target is not taken for the synced one, with a target of %i bytes",
  async (length) => {
    const [one, two] = ["1".repeat(length), "2".repeat(length)];
    const disk = new MemorySyncDisk();
    await disk.makeSymlink(path("link"), one);
    const blocks = new Map<Cid, Uint8Array>();
    const reading = { content: smallChunks, block: async (cid: Cid) => blocks.get(cid) ?? new Uint8Array() };
    const isOnDisk = (target: string) => {
      const record = { ...newRecord("symlink", { mode: 0o777, uid: 0, gid: 0, timeNs: 0n }), target, size: length };
      const stored = linkLongValues(record, (bytes) => {
        const cid = cidOf("dag-cbor", bytes);
        blocks.set(cid, bytes);
        return cid;
      });
      return hasRecord(disk, path("link"), stored, reading);
    };
    expect(await isOnDisk(one)).toBe(true);
    expect(await isOnDisk(two)).toBe(false);
  },
);

describe("a file with a hole", () => {
  const [hole, ino] = [5_000_000, 2 as Ino];
  const bytes = Buffer.concat([Buffer.from("begin"), Buffer.alloc(hole), Buffer.from("end")]);

  async function world() {
    const disk = new MemorySyncDisk();
    await (await disk.create(path("f"))).write(0, bytes);
    const read: number[] = [];
    const inner = disk.read.bind(disk);
    disk.read = async (at) => {
      const file = await inner(at);
      return { ...file, read: async (offset, length) => (read.push(length), file.read(offset, length)) };
    };
    const stat = await disk.look(path("f"));
    if (stat === undefined) throw new Error("the file is there");
    const name = "f" as FileName;
    return { disk, read, found: foundAs({ path: path("f"), stat, parent: undefined, name }, NO_CHILDREN, false) };
  }

  test("has the same content as if the hole were read", async () => {
    const { disk, read, found } = await world();
    const sink = { put: () => {} };
    expect(await contentOnDisk(disk, found, smallChunks)).toEqual(await writeBytes(sink, smallChunks, bytes));
    expect(read.reduce((sum, length) => sum + length, 0)).toBeLessThan(hole);
  });

  test("is published without reading the hole, and counts as sent to its end", async () => {
    const { disk, read, found } = await world();
    const sent: [number, boolean][] = [];
    const options = { sent: (...of: [number, boolean]) => void sent.push(of) };
    await using data = new LocalData(disk, new Map([[ino, found]]), options);
    expect(await data.readData(ino, 1, 5, 1_000)).toBe(hole);
    expect(await data.readData(ino, 1, hole + 5, 3)).toEqual(Buffer.from("end"));
    expect([read, sent]).toEqual([
      [3],
      [
        [hole, false],
        [3, true],
      ],
    ]);
  });

  test("that changed since the scan is not published", async () => {
    const { disk, found } = await world();
    disk.tick(1n);
    await using data = new LocalData(disk, new Map([[ino, found]]), {});
    await (await disk.read(path("f"))).write(7, Buffer.from("x"));
    await expect(data.readData(ino, 1, 8, 1_000)).rejects.toMatchObject({ code: "precondition_failed" });
  });
});
