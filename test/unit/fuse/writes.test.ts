/** Writes whose answer means more than that their bytes are here. */
import { constants } from "node:fs";
import { expect, test, vi } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import type { Clock } from "../../../src/base/clock.ts";
import type { Ino } from "../../../src/base/ids.ts";
import { silentLog } from "../../../src/base/log.ts";
import { Door } from "../../../src/fuse/door.ts";
import { chooseOptions } from "../../../src/fuse/options.ts";
import { PassingFiles } from "../../../src/fuse/passing-files.ts";
import { MINOR_WITH_EPOCH, REPLY, WRITE_CACHE } from "../../../src/fuse/protocol.ts";
import { type FileSystem, FsError, NoRoomYet } from "../../../src/vfs/filesystem.ts";
import { overriding } from "../../../src/vfs/overriding.ts";
import { FakeSession, SUPERVISION } from "../../support/fake-session.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const BYTES = 100;
const DSYNC_APPEND = constants.O_APPEND | constants.O_DSYNC;
const ANSWER = `answer WRITE kind ${REPLY.COUNT}`;
/** A power cut that keeps only what was synced. */
const SYNCED_ONLY = { bytes: (length: number) => new Uint8Array(length), fraction: () => 0 };

const DYING = 77;
const FREEZING = 78;
vi.mock(import("../../../src/fuse/dying-thread.ts"), async (original) => {
  const { THREADS, ...others } = await original();
  const isDying = (thread: number) => thread === DYING;
  const freezing = (threads: ReadonlySet<number>) => new Set([...threads].filter((thread) => thread === FREEZING));
  return { ...others, THREADS: { ...THREADS, isDying, freezing } };
});

/** `isRepeated`: the kernel sends them again to an agent that replaces another one. */
function serve(fs: { readonly vfs: FileSystem; readonly clock: Clock }, isRepeated = false): FakeSession {
  const session = new FakeSession();
  const handoff = { minor: MINOR_WITH_EPOCH, flags: 0, flags2: 0 };
  const taken = isRepeated ? { supervision: { ...SUPERVISION, handoff } } : {};
  const options = chooseOptions({ mountPoint: "", source: "", log: silentLog, clock: fs.clock, ...taken });
  void new Door(session.addon, { device: 3, memory: 4 }, fs.vfs, options, { ready: () => {}, ended: () => {} });
  return session;
}

function write(node: Ino, flags: number, unique = 8) {
  return { opcode: "WRITE" as const, unique, node, arguments: [0, BYTES, 0, 0, flags] };
}

/** The filesystem, on a disk whose syncs never end. */
function unsynced({ vfs, clock }: VfsHarness) {
  return { vfs: overriding(vfs, { fsync: () => new Promise(() => {}), fsyncNow: () => false }), clock };
}

/** A file in a filesystem, durable while still empty. */
async function emptyFile(): Promise<{ fs: VfsHarness; ino: Ino }> {
  const fs = await VfsHarness.create();
  const ino = await fs.make("file");
  await fs.syncAll();
  return { fs, ino };
}

/** A file to which an agent appended, and ended before it answered request 8. */
async function appendedFile(): Promise<{ fs: VfsHarness; ino: Ino }> {
  const { fs, ino } = await emptyFile();
  fs.vfs.answers.request = 8;
  await fs.write(ino, 0, "x".repeat(BYTES));
  fs.vfs.persist();
  fs.restart();
  return { fs, ino };
}

async function sizeAfterPowerCut(fs: VfsHarness): Promise<number> {
  fs.restart(SYNCED_ONLY);
  return (await fs.text("file")).length;
}

for (const [name, flag] of [
  ["O_DSYNC", constants.O_DSYNC],
  ["O_SYNC", constants.O_SYNC],
] as const) {
  test(`a write with ${name} is durable when it is answered, also beside other requests`, async () => {
    const { fs, ino } = await emptyFile();
    const session = serve(fs);
    session.send(write(ino, constants.O_RDWR | flag), { opcode: "GETATTR", unique: 10, node: ino });
    await vi.waitFor(() => expect(session.done).toContain(ANSWER));
    expect(await sizeAfterPowerCut(fs)).toBe(BYTES);
  });
}

test("a write without O_DSYNC is answered before it is durable", async () => {
  const { fs, ino } = await emptyFile();
  const session = serve(fs);
  session.send(write(ino, constants.O_RDWR));
  expect(session.done).toContain(ANSWER);
  expect(await sizeAfterPowerCut(fs)).toBe(0);
});

test.each([
  ["a store through a mapping", WRITE_CACHE, ["drop pages of"]],
  ["a write", 0, []],
])(
  "if %s finds no room, pages that the kernel counts as written are dropped, once it is answered",
  async (_, flags, dropped) => {
    const { fs, ino } = await emptyFile();
    const refuse = () => {
      throw new FsError(ERRNO.ENOSPC, "no room");
    };
    const session = serve({ vfs: overriding(fs.vfs, { write: refuse }), clock: fs.clock });
    session.send({ opcode: "WRITE", unique: 8, node: ino, arguments: [0, BYTES, flags, 0, constants.O_RDWR] });
    const answer = `answer WRITE error ${ERRNO.ENOSPC}`;
    expect(session.done.slice(session.done.indexOf(answer))).toEqual([
      answer,
      ...dropped.map((text) => `${text} ${ino}`),
    ]);
  },
);

test("an O_DSYNC append that the agent before executed is durable when it is answered", async () => {
  const { fs, ino } = await appendedFile();
  const session = serve(fs, true);
  session.send(write(ino, DSYNC_APPEND, -8));
  await vi.waitFor(() => expect(session.done).toContain(ANSWER));
  expect(await sizeAfterPowerCut(fs)).toBe(BYTES);
});

test("an O_DSYNC append whose sync goes on during a checkpoint is not repeated by the next agent", async () => {
  const { fs, ino } = await emptyFile();
  serve(unsynced(fs)).send(write(ino, DSYNC_APPEND));
  await fs.vfs.checkpoint();
  fs.restart();
  serve(fs, true).send(write(ino, DSYNC_APPEND, -8));
  expect(await fs.text("file")).toHaveLength(BYTES);
});

test("an O_DSYNC append is executed once, although each of two agents ends while it is synced", async () => {
  const { fs, ino } = await appendedFile();
  const again = [-8, -9].map((unique) => write(ino, DSYNC_APPEND, unique));
  // All requests sent again have come when a new one comes.
  serve(unsynced(fs), true).send(...again, { opcode: "GETATTR", unique: 10, node: ino });
  fs.restart();
  serve(fs, true).send(...again);
  expect(await fs.text("file")).toHaveLength(2 * BYTES);
});

test("an O_DSYNC write that is given up during its sync counts as written, since repeating it would append twice", async () => {
  const { fs, ino } = await emptyFile();
  const session = serve(unsynced(fs), true);
  session.send({ ...write(ino, DSYNC_APPEND, -8), thread: DYING });
  await vi.waitFor(() => expect(session.done).toContain(ANSWER));
  expect(await fs.text("file")).toHaveLength(BYTES);
});

test("an O_DSYNC write ends with EINTR if a freezer comes during its sync, since it is not durable", async () => {
  const { fs, ino } = await emptyFile();
  const session = serve(unsynced(fs));
  session.send({ ...write(ino, constants.O_DSYNC), thread: FREEZING });
  await fs.advance(5_000);
  expect(session.done).toEqual([`answer WRITE error ${ERRNO.EINTR}`]);
});

for (const isRepeated of [false, true]) {
  const which = isRepeated ? "that the agent before executed" : "that has run";
  test(`an O_DSYNC append ${which} goes on during freezing, since repeating it would append twice`, async () => {
    const { fs, ino } = await (isRepeated ? appendedFile() : emptyFile());
    const synced = Promise.withResolvers<void>();
    const vfs = overriding(fs.vfs, { fsync: () => synced.promise, fsyncNow: () => false });
    const session = serve({ vfs, clock: fs.clock }, isRepeated);
    session.send({ ...write(ino, DSYNC_APPEND, isRepeated ? -8 : 8), thread: FREEZING });
    await fs.advance(5_000);
    expect(session.done.filter((each) => each.startsWith("answer"))).toEqual([]);
    synced.resolve();
    await vi.waitFor(() => expect(session.done).toContain(ANSWER));
  });
}

test("an O_DSYNC append that waits for room ends with EINTR if a freezer comes", async () => {
  const { fs, ino } = await emptyFile();
  fs.vfs.throttle = () => new Promise(() => {});
  const session = serve(fs);
  session.send({ ...write(ino, DSYNC_APPEND), thread: FREEZING });
  await fs.advance(5_000);
  expect(session.done).toEqual([`answer WRITE error ${ERRNO.EINTR}`]);
});

test("an append that drops capabilities, and waits for room when its agent is killed, gets its bytes from the next agent", async () => {
  using _ = vi.spyOn(PassingFiles.prototype, "has").mockReturnValue(true);
  const { fs, ino } = await emptyFile();
  await fs.run((vfs) => vfs.setXattr(ino, "security.capability", Buffer.from("all"), 0));
  await fs.syncAll();
  const full = () => {
    throw new NoRoomYet(() => new Promise(() => {}));
  };
  serve({ vfs: overriding(fs.vfs, { write: full }), clock: fs.clock }).send(write(ino, constants.O_APPEND));
  fs.restart();
  const session = serve(fs, true);
  session.send(write(ino, constants.O_APPEND, -8));
  await vi.waitFor(() => expect(session.done).toContain(ANSWER));
  expect(await fs.text("file")).toHaveLength(BYTES);
  expect(fs.vfs.getXattr(ino, "security.capability")).toBeUndefined();
});

test("an O_DSYNC append that the agent before executed gets the error of its sync", async () => {
  const { fs, ino } = await appendedFile();
  const fsyncNow = () => {
    throw new Error("the disk is gone");
  };
  const session = serve({ vfs: overriding(fs.vfs, { fsyncNow }), clock: fs.clock }, true);
  session.send(write(ino, DSYNC_APPEND, -8));
  expect(session.done.filter((each) => each.startsWith("answer"))).toEqual([`answer WRITE error ${ERRNO.EIO}`]);
});
