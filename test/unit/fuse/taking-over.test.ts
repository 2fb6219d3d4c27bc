/** The door of an agent that takes over from a killed one, and what a door drops once everything changed. */
import { constants } from "node:fs";
import { describe, expect, test, vi } from "vitest";
import type { Clock } from "../../../src/base/clock.ts";
import { ERRNO } from "../../../src/base/errno.ts";
import { type Cid, type Ino, ROOT_INO } from "../../../src/base/ids.ts";
import { silentLog } from "../../../src/base/log.ts";
import { BlockMiss } from "../../../src/blocks/block-store.ts";
import { Door } from "../../../src/fuse/door.ts";
import { chooseOptions } from "../../../src/fuse/options.ts";
import type { Agreed } from "../../../src/fuse/supervisor.ts";
import { INIT2, MINOR_WITH_EPOCH, REPLY } from "../../../src/fuse/protocol.ts";
import { CALLER } from "../../../src/simulate/vfs-driver.ts";
import { diskFull } from "../../../src/simulate/disks/simulated-disk.ts";
import type { FileSystem } from "../../../src/vfs/filesystem.ts";
import { FakeSession, SUPERVISION } from "../../support/fake-session.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryFileSystem } from "../../support/memory-filesystem.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

/** More segments than a journal prepares. Each agent begins one. */
const SPARE_SEGMENTS = 5;
const DYING = 77;
vi.mock(import("../../../src/fuse/dying-thread.ts"), async (original) => {
  const { THREADS, ...others } = await original();
  return { ...others, THREADS: { ...THREADS, isDying: (thread: number) => thread === DYING } };
});

const FOUND = `answer LOOKUP kind ${REPLY.ENTRY}`;

const EVERYTHING = { entries: [], inodes: [], all: true };

/** Files in the bucket, whose numbers an agent told the kernel before it ended. */
async function published(count: number): Promise<{ fs: VfsHarness; files: readonly Ino[] }> {
  const fs = await VfsHarness.create();
  const files: Ino[] = [];
  for (let index = 0; index < count; index++) {
    // Some numbers are in the tables, others only in the journal.
    if (index === count / 2) await fs.publish().then(() => fs.vfs.checkpoint());
    files.push(await fs.make(`f${index}`));
  }
  await fs.publish();
  fs.restart();
  return { fs, files };
}

function takeOver(served: Served, { resends } = { resends: true }) {
  return doorOf(served, { minor: MINOR_WITH_EPOCH, flags: 0, flags2: resends ? INIT2.HAS_RESEND : 0 });
}

interface Served {
  readonly vfs: FileSystem;
  readonly clock: Clock;
}

/** Without `handoff`: of a new mount. */
function doorOf(fs: Served, handoff?: Agreed): { session: FakeSession; door: Door } {
  const session = new FakeSession();
  const supervision = { ...SUPERVISION, handoff };
  const options = chooseOptions({ mountPoint: "", source: "", log: silentLog, clock: fs.clock, supervision });
  const events = { ready: () => {}, ended: () => {} };
  return { session, door: new Door(session.addon, { device: 3, memory: 4 }, fs.vfs, options, events) };
}

test("a door drops the listings of all directories, since programs may have them open, once everything changed", async () => {
  const fs = await VfsHarness.create();
  const directory = await fs.makeDirectory("d");
  await fs.publish();
  const { session, door } = doorOf(fs);
  await fs.advance(1_000);
  expect(session.done).toEqual([]);
  door.invalidate(EVERYTHING);
  await fs.advance(1_000);
  expect(session.done).toContain(`drop pages of ${directory}`);
});

describe("a door that takes over", () => {
  test("answers on a full disk, even if the journal has no room to note the end of the repeated requests", async () => {
    const fs = await VfsHarness.create();
    await fs.make("made");
    fs.vfs.persist();
    for (let kill = 0; kill < SPARE_SEGMENTS; kill++) {
      fs.restart();
      fs.disk.before = (call) => {
        if (call === "create") throw diskFull();
      };
      const { session } = takeOver(fs);
      session.send(...[9, 11].map((unique) => ({ opcode: "LOOKUP" as const, unique, name: "made" })));
      expect(session.done.slice(-2)).toEqual([FOUND, FOUND]);
    }
  });

  test("asks the kernel about files without a name after the repeated requests, but not about one that an answer told it of", async () => {
    const fs = await VfsHarness.create();
    await fs.make("here");
    const unnamed = (request: number) => {
      fs.vfs.answers.request = request;
      return fs.run((vfs) => vfs.makeUnnamed(ROOT_INO, 0o600, CALLER));
    };
    const [answered, resent, other] = [await unnamed(6), await unnamed(8), await unnamed(10)];
    fs.vfs.persist();
    fs.restart();
    const { session } = takeOver(fs);
    session.send({ opcode: "TMPFILE", unique: -8 });
    session.send({ opcode: "LOOKUP", unique: 12, name: "here" });
    // The kernel makes the inode only when the program's thread has woken.
    const told = [`answer TMPFILE kind ${REPLY.CREATED}`, FOUND, `probe ${answered.ino}`, `probe ${other.ino}`];
    expect(session.done.filter((each) => told.includes(each))).toEqual(told);
    expect(session.done).not.toContain(`probe ${resent.ino}`);
  });

  test("gives up a repeated request of a dying program, although only the agent before it got the signal", async () => {
    const fs = new MemoryFileSystem(() => 1n);
    fs.faults.touch = () => {
      throw new BlockMiss(["bafkr4itest" as Cid]);
    };
    fs.faults.load = () => new Promise(() => {});
    const clock = new ManualClock();
    const { session } = takeOver({ vfs: fs, clock }, { resends: false });
    session.send({ opcode: "GETATTR", unique: -8, thread: DYING }, { opcode: "GETATTR", unique: -10, thread: 1 });
    await clock.advance(0);
    expect(session.done.slice(-1)).toEqual([`answer GETATTR error ${ERRNO.EINTR}`]);
    expect(session.done.filter((each) => each.startsWith("answer"))).toHaveLength(1);
  });

  test("drops the pages of a file whose append was executed before, since the kernel may have the wrong offset", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("log");
    fs.vfs.answers.request = 8;
    await fs.write(ino, 0, "appended");
    fs.vfs.persist();
    fs.restart();
    const { session } = takeOver(fs);
    session.send({ opcode: "WRITE", unique: -8, node: ino, arguments: [0, 8, 0, 0, constants.O_APPEND] });
    expect(session.done.slice(-2)).toEqual([`answer WRITE kind ${REPLY.COUNT}`, `drop pages of ${ino}`]);
  });

  test("executes no request again that the agent before it executed in one batch with a new one, but did not answer", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("log");
    await fs.make("made");
    fs.vfs.persist();
    const append = { opcode: "WRITE", unique: -8, node: ino, arguments: [0, 8, 0, 0, constants.O_APPEND] } as const;
    const unlink = { opcode: "UNLINK", unique: -10, name: "made" } as const;
    fs.restart();
    const killed = takeOver(fs).session;
    killed.dies = true;
    expect(() => killed.send(append, unlink, { opcode: "LOOKUP", unique: 12, name: "log" })).toThrow("killed");
    fs.restart();
    const { session } = takeOver(fs);
    session.send(append, unlink, { opcode: "LOOKUP", unique: -12, name: "log" });
    const answers = session.done.filter((each) => each.startsWith("answer"));
    expect(answers).toEqual([`answer WRITE kind ${REPLY.COUNT}`, "answer UNLINK error 0", FOUND]);
    expect(fs.vfs.getAttributes(ino).size).toBe(8);
  });

  test("drops the pages of all files, since programs may have them open, whenever everything changed", async () => {
    const { fs, files } = await published(10);
    const { session, door } = takeOver(fs);
    for (const cause of [() => {}, () => door.invalidate(EVERYTHING)]) {
      cause();
      await fs.advance(1_000);
      expect(session.done.splice(0)).toEqual(expect.arrayContaining(files.map((ino) => `drop pages of ${ino}`)));
    }
  });

  test("drops pages in portions, and not those of files opened since everything changed", async () => {
    const { fs, files } = await published(1_000);
    const { session } = takeOver(fs);
    const dropped = () =>
      session.done.filter((each) => each.startsWith("drop") && each !== `drop pages of ${ROOT_INO}`);
    const [opened] = files;
    expect(dropped()).toEqual([]);
    session.send({ opcode: "OPEN", unique: 10, node: opened as number });
    await fs.advance(5);
    expect(dropped().length).toBeLessThan(files.length / 2);
    await fs.advance(1_000);
    expect(new Set(dropped())).toEqual(new Set(files.slice(1).map((ino) => `drop pages of ${ino}`)));
    expect(dropped()).toHaveLength(files.length - 1);
  });

  test("drops pages again if everything changes meanwhile, and stops when it closes", async () => {
    const { fs, files } = await published(300);
    const { session, door } = takeOver(fs);
    const dropped = () => session.done.filter((each) => each === `drop pages of ${files.at(-1)}`).length;
    await fs.advance(5);
    door.invalidate(EVERYTHING);
    await fs.advance(1_000);
    expect(dropped()).toBe(2);
    door.invalidate(EVERYTHING);
    door.close();
    await fs.advance(1_000);
    expect(dropped()).toBe(2);
  });
});
