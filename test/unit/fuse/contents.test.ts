/** Requests about file contents. */
import { expect, test } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { Door } from "../../../src/fuse/door.ts";
import { chooseOptions } from "../../../src/fuse/options.ts";
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
  void new Door(session.addon, { device: 3, slots: 4 }, fs.vfs, options, { ready: () => {}, ended: () => {} });
  const sizes = [8, 16, 20].map(() => {
    const { size } = fs.vfs.getAttributes(to);
    session.send({ opcode: "COPY_FILE_RANGE", unique: 8, node: from, arguments: [size, to, size, 64 * MiB] });
    return fs.vfs.getAttributes(to).size;
  });
  expect(sizes).toEqual([8 * MiB, 16 * MiB, 20 * MiB]);
  expect(session.done).toEqual(sizes.map(() => `answer COPY_FILE_RANGE kind ${REPLY.COUNT}`));
});
