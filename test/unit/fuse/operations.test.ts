/** Which inodes a waiting request has the kernel lock. */
import { expect, test } from "vitest";
import { ROOT_INO } from "../../../src/base/ids.ts";
import { silentLog } from "../../../src/base/log.ts";
import { Door } from "../../../src/fuse/door.ts";
import { chooseOptions } from "../../../src/fuse/options.ts";
import { FakeSession } from "../../support/fake-session.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

test("messages are held for what a waiting request removes, moves or replaces, as for its directories", async () => {
  const fs = await VfsHarness.create();
  const [file, other, directory] = [await fs.make("file"), await fs.make("other"), await fs.makeDirectory("directory")];
  let resume = () => {};
  fs.vfs.throttle = () => new Promise<void>((resolve) => (resume = resolve));
  const session = new FakeSession();
  const options = chooseOptions({ mountPoint: "", source: "", log: silentLog, clock: fs.clock });
  void new Door(session.addon, { device: 3, memory: 4 }, fs.vfs, options, { ready: () => {}, ended: () => {} });
  const rename = { opcode: "RENAME2", unique: 8, arguments: [ROOT_INO], name: "file", secondName: "other" } as const;
  session.send(rename);
  expect(session.held).toEqual([ROOT_INO, ROOT_INO, file, other]);
  resume();
  await expect.poll(() => session.held).toEqual([]);
  session.send({ opcode: "UNLINK", unique: 10, name: "other" });
  expect(session.held).toEqual([ROOT_INO, file]);
  resume();
  await expect.poll(() => session.held).toEqual([]);
  session.send({ opcode: "RMDIR", unique: 12, name: "directory" });
  expect(session.held).toEqual([ROOT_INO, directory]);
});
