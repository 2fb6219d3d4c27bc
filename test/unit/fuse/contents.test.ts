/** Requests about file contents, and which callers of them are root. */
import { expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import { silentLog } from "../../../src/base/log.ts";
import { Door } from "../../../src/fuse/door.ts";
import { chooseOptions } from "../../../src/fuse/options.ts";
import { parseOwnerMap } from "../../../src/fuse/owners.ts";
import { REPLY } from "../../../src/fuse/protocol.ts";
import { FakeSession } from "../../support/fake-session.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const MiB = 1024 * 1024;

test("a long copy_file_range is answered in parts, so that other requests are served in between", async () => {
  const fs = await VfsHarness.create();
  const [from, to] = [await fs.make("from"), await fs.make("to")];
  await fs.run((vfs) => vfs.setAttributes(from, { size: 20 * MiB }));
  const session = new FakeSession();
  const options = chooseOptions({ mountPoint: "", source: "", log: silentLog, clock: fs.clock });
  void new Door(session.addon, { device: 3, memory: 4 }, fs.vfs, options, { ready: () => {}, ended: () => {} });
  const sizes = [8, 16, 20].map(() => {
    const { size } = fs.vfs.getAttributes(to);
    session.send({ opcode: "COPY_FILE_RANGE", unique: 8, node: from, arguments: [size, to, size, 64 * MiB] });
    return fs.vfs.getAttributes(to).size;
  });
  expect(sizes).toEqual([8 * MiB, 16 * MiB, 20 * MiB]);
  expect(session.done).toEqual(sizes.map(() => `answer COPY_FILE_RANGE kind ${REPLY.COUNT}`));
});

test("whether a caller is root does not depend on the owners that the mount shows", async () => {
  const fs = await VfsHarness.create();
  const [file, to] = [await fs.make("file"), await fs.make("to")];
  fs.vfs.setXattr(file, "trusted.one", Buffer.from("value"), 0);
  const session = new FakeSession();
  const owners = parseOwnerMap("uid 0 1000\nuid 1000 0");
  const options = chooseOptions({ mountPoint: "", source: "", log: silentLog, clock: fs.clock, owners });
  void new Door(session.addon, { device: 3, memory: 4 }, fs.vfs, options, { ready: () => {}, ended: () => {} });
  const seen = (uid: number) => {
    for (const ino of [file, to]) fs.vfs.setAttributes(ino, { mode: 0o4755 });
    session.send({ opcode: "FALLOCATE", unique: 8, node: file, uid, arguments: [0, 0, 4_096] });
    session.send({ opcode: "COPY_FILE_RANGE", unique: 10, node: file, uid, arguments: [0, to, 0, 4_096] });
    // A list of more than one byte does not fit.
    session.send({ opcode: "LISTXATTR", unique: 12, node: file, uid, arguments: [1] });
    const modes = [file, to].map((ino) => fs.vfs.getAttributes(ino).mode & 0o7777);
    return [...modes, session.done.at(-1)];
  };
  expect(seen(0)).toEqual([0o4755, 0o4755, `answer LISTXATTR error ${ERRNO.ERANGE}`]);
  expect(seen(1_000)).toEqual([0o755, 0o755, `answer LISTXATTR kind ${REPLY.DATA}`]);
});
