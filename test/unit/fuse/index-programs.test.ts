/** What is fetched for index programs. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import { silentLog } from "../../../src/base/log.ts";
import { Door } from "../../../src/fuse/door.ts";
import { chooseOptions } from "../../../src/fuse/options.ts";
import { REPLY } from "../../../src/fuse/protocol.ts";
import { SimulatedDisk } from "../../../src/simulate/disks/simulated-disk.ts";
import { VfsDriver } from "../../../src/simulate/vfs-driver.ts";
import { openWithObjects } from "../../../src/vfs/open-vfs.ts";
import { FakeSession } from "../../support/fake-session.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const SIZE = 40 * MiB;

test.runIf(process.platform === "linux").each([128 * KiB, MiB])(
  "an index program that reads a large file in order, %i bytes at a time, gets 64 blocks, and none ahead",
  async (each) => {
    const others = await VfsHarness.create();
    const file = await others.make("f");
    for (let at = 0; at < SIZE; at += MiB) await others.write(file, at, randomBytes(MiB));
    await others.publish();
    const { root: base, blocks } = others;
    const clock = new ManualClock();
    const { vfs, objects } = openWithObjects({ storage: new SimulatedDisk(), blocks, base, clock, log: silentLog });
    const ino = await new VfsDriver(vfs).ino("f");
    blocks.reads.length = 0;
    const session = new FakeSession();
    const { loader } = objects;
    const indexing = {
      names: [readFileSync("/proc/self/comm", "utf8").trim()],
      isHere: async () => false,
      readsAhead: () => loader.readsAhead,
      dropAhead: () => loader.dropAhead(),
    };
    const options = chooseOptions({ mountPoint: "", source: "", log: silentLog, clock, indexing });
    void new Door(session.addon, { device: 3, memory: 4 }, vfs, options, { ready: () => {}, ended: () => {} });
    const read = async (thread: number, at: number) => {
      session.send({ opcode: "READ", unique: 2, node: ino, thread, arguments: [at, each] });
      await expect.poll(() => session.done.length).toBe(1);
      return session.done.pop();
    };
    let at = 0;
    let answer: string | undefined;
    do answer = await read(process.pid, at);
    while ((at += each) < SIZE && answer === `answer READ kind ${REPLY.DATA}`);
    expect(answer).toBe(`answer READ error ${ERRNO.EIO}`);
    expect(blocks.reads.length).toBeLessThanOrEqual(64);
    for (at = 0; at < SIZE; at += each) expect(await read(0, at)).toBe(`answer READ kind ${REPLY.DATA}`);
    expect(blocks.reads.length).toBeGreaterThan(100);
  },
);
