/** At the limit of unpublished bytes, a door waits for publishing as long as that can help. */
import { describe, expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import type { Ino } from "../../../src/base/ids.ts";
import { ROOT_INO, type FileName } from "../../../src/base/ids.ts";
import { ROOM_FAILING_MS } from "../../../src/base/limits.ts";
import { silentLog } from "../../../src/base/log.ts";
import { Access } from "../../../src/files/access.ts";
import { OpenInodes } from "../../../src/files/open-inodes.ts";
import { CALLER } from "../../../src/simulate/vfs-driver.ts";
import type { DirtyReason } from "../../../src/vfs/dirty-signal.ts";
import { FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FsError, NoRoomYet } from "../../../src/vfs/filesystem.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const KiB = 1024;
const LIMIT = 1024 * KiB;
const SWEPT_MS = 1_000;

/** A file that fills the limit. */
async function full() {
  const fs = await VfsHarness.create({ unpublishedBytes: LIMIT });
  const ino = await fs.make("full");
  await fs.run((vfs) => vfs.write(ino, 0, new Uint8Array(LIMIT).fill(1)));
  fs.vfs.persist();
  return { fs, ino };
}

/** Writes as a door does. `answer` is set once there is one. */
function asDoor(fs: VfsHarness, ino: Ino, offset: number, bytes: Uint8Array) {
  const call: { answer: number | undefined } = { answer: undefined };
  const access = new Access(fs.vfs, new OpenInodes(fs.vfs, silentLog), new AbortController().signal);
  void access
    .run((vfs) => vfs.write(ino, offset, bytes))
    .then(
      () => (call.answer = 0),
      (error: unknown) => (call.answer = error instanceof FsError ? error.errno : -1),
    );
  return call;
}

describe("at the limit of unpublished bytes", () => {
  test("a write to a file that stays open waits until its earlier bytes are published, and asks for that", async () => {
    const { fs, ino } = await full();
    const reasons: DirtyReason[] = [];
    fs.vfs.onDirty((reason) => reasons.push(reason));
    const call = asDoor(fs, ino, LIMIT, new Uint8Array(100 * KiB).fill(2));
    await fs.advance(SWEPT_MS);
    expect(call.answer).toBeUndefined();
    expect(reasons).toContain("urgent");
    await fs.publish();
    await fs.advance(SWEPT_MS);
    expect(call.answer).toBe(0);
    expect((await fs.read(ino, LIMIT - 1, 2)).toString("hex")).toBe("0102");
  });

  test("a write is refused while publishing fails, and changes nothing", async () => {
    const { fs, ino } = await full();
    fs.vfs.publishState.told({ problem: "store_unreachable" });
    const call = asDoor(fs, ino, LIMIT, new Uint8Array(100 * KiB));
    await fs.advance(ROOM_FAILING_MS + SWEPT_MS);
    expect(call.answer).toBe(ERRNO.ENOSPC);
    expect((await fs.find("full"))?.size).toBe(LIMIT);
  });

  test("a write is refused immediately if only files without a name take the room: they are never published", async () => {
    const fs = await VfsHarness.create({ unpublishedBytes: LIMIT });
    const { ino } = await fs.run((vfs) => vfs.makeUnnamed(ROOT_INO, 0o600, CALLER));
    await fs.run((vfs) => vfs.write(ino, 0, new Uint8Array(LIMIT)));
    const refused = await fs.run((vfs) => vfs.write(ino, LIMIT, new Uint8Array(1))).catch((error: unknown) => error);
    if (!(refused instanceof NoRoomYet)) throw new Error("there is room");
    await expect(refused.room()).rejects.toMatchObject({ errno: ERRNO.ENOSPC });
    fs.vfs.forget(ino);
    await fs.advance(SWEPT_MS);
    expect(fs.vfs.statFs().freeBlocks).toBe(LIMIT);
  });

  test("writing over unpublished bytes, punching, truncating, renaming and removing work", async () => {
    const { fs, ino } = await full();
    await fs.run((vfs) => vfs.write(ino, 10, new Uint8Array(100 * KiB).fill(3)));
    await fs.run((vfs) => vfs.allocate(ino, FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE, 0, 64 * KiB));
    await fs.run((vfs) => vfs.setAttributes(ino, { size: 100 * KiB }));
    await fs.run((vfs) => vfs.rename(ROOT_INO, "full" as FileName, ROOT_INO, "moved" as FileName, 0));
    expect((await fs.read(ino, 64 * KiB - 1, 2)).toString("hex")).toBe("0003");
    await fs.unlink("moved");
    fs.vfs.forget(ino);
    await fs.advance(SWEPT_MS);
    expect(fs.vfs.statFs()).toMatchObject({ blocks: LIMIT, freeBlocks: LIMIT });
  });

  test("a file that is larger than the limit can be allocated, since that stores nothing", async () => {
    const { fs, ino } = await full();
    await fs.run((vfs) => vfs.allocate(ino, 0, 0, 10 * LIMIT));
    expect((await fs.find("full"))?.size).toBe(10 * LIMIT);
  });

  test("unpublished bytes still count after a restart", async () => {
    const { fs } = await full();
    fs.restart();
    expect(fs.vfs.statFs().freeBlocks).toBe(0);
    fs.vfs.seal();
    fs.restart();
    expect(fs.vfs.statFs().freeBlocks).toBe(0);
    await fs.publish();
    await fs.advance(SWEPT_MS);
    expect(fs.vfs.statFs().freeBlocks).toBe(LIMIT);
  });
});
