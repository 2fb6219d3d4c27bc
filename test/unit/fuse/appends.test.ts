/** The order of appends to one file. */
import { constants } from "node:fs";
import { expect, test } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { Door } from "../../../src/fuse/door.ts";
import { chooseOptions } from "../../../src/fuse/options.ts";
import { REPLY } from "../../../src/fuse/protocol.ts";
import { FakeSession } from "../../support/fake-session.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const COUNTED = `answer WRITE kind ${REPLY.COUNT}`;

test("appends to a file stay in order while back-pressure holds up one of them", async () => {
  const fs = await VfsHarness.create();
  const [log, other] = [await fs.make("log"), await fs.make("other")];
  const written: string[] = [];
  const pauses: (() => void)[] = [];
  const write = fs.vfs.write.bind(fs.vfs);
  fs.vfs.write = (ino, offset, bytes) => {
    written.push(`${ino === log ? "log" : "other"} ${offset} ${bytes.length}`);
    write(ino, offset, bytes);
  };
  const isPaused = new Set([10, 30]);
  fs.vfs.throttle = (_, bytes = 0) => {
    return isPaused.has(bytes) ? new Promise<void>((resolve) => pauses.push(resolve)) : undefined;
  };
  const session = new FakeSession();
  const options = chooseOptions({ mountPoint: "", source: "", log: silentLog, clock: fs.clock });
  void new Door(session.addon, { device: 3, memory: 4 }, fs.vfs, options, { ready: () => {}, ended: () => {} });
  const append = (node: number, length: number) => {
    session.send({ opcode: "WRITE", unique: 8, node, arguments: [0, length, 0, 0, constants.O_APPEND] });
  };
  append(log, 10);
  append(log, 20);
  append(other, 5);
  append(log, 30);
  append(log, 40);
  await fs.advance(0);
  expect(written.splice(0)).toEqual(["other 0 5"]);
  pauses.shift()?.();
  await expect.poll(() => written.splice(0)).toEqual(["log 0 10", "log 10 20"]);
  append(log, 50);
  pauses.shift()?.();
  await expect.poll(() => session.done.filter((each) => each === COUNTED)).toHaveLength(6);
  expect(written.splice(0)).toEqual(["log 30 30", "log 60 40", "log 100 50"]);
  append(log, 60);
  expect(written).toEqual(["log 150 60"]);
});
