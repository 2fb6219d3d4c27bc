/** Whether the disk has what a record says, where size and times tell nothing. */
import { expect, test } from "vitest";
import type { Cid } from "../../../../src/base/ids.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { linkLongValues } from "../../../../src/format/blocks/linked-value.ts";
import { newRecord } from "../../../../src/format/files/record.ts";
import { MemorySyncDisk } from "../../../../src/simulate/folder/memory-sync-disk.ts";
import { hasRecord } from "../../../../src/sync/scan/local-content.ts";
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
