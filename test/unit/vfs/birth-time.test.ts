/** Birth times: when objects were made. */
import { expect, test } from "vitest";
import type { FileName } from "../../../src/base/ids.ts";
import { ROOT_INO } from "../../../src/base/ids.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const CALLER = { uid: 0, gid: 0 };

test("a birth time survives changes, publishing and restarts", async () => {
  const clock = new ManualClock();
  const fs = await VfsHarness.create({}, clock);
  const began = clock.nowNs();
  const file = await fs.make("f", "x");
  const { ino: directory } = await fs.run((vfs) => vfs.makeDirectory(ROOT_INO, "d" as FileName, 0o755, CALLER));
  const births = async () => [await fs.find("d/g"), await fs.find("d")].map((found) => found?.birthNs);
  clock.advance(5_000);
  await fs.run((vfs) => vfs.write(file, 0, Buffer.from("changed")));
  await fs.run((vfs) => vfs.setAttributes(file, { mode: 0o600, mtimeNs: 5n, ctimeNs: 6n }));
  await fs.run((vfs) => vfs.rename(ROOT_INO, "f" as FileName, directory, "g" as FileName, 0));
  expect(await births()).toEqual([began, began]);
  await fs.vfs.checkpoint();
  fs.restart();
  expect(await births()).toEqual([began, began]);
  await fs.publish();
  expect(await births()).toEqual([began, began]);
  fs.restart();
  await fs.run((vfs) => vfs.setAttributes(file, { mode: 0o644 }));
  expect(await births()).toEqual([began, began]);
});

test("the birth time of the root directory is unknown", async () => {
  const fs = await VfsHarness.create();
  expect((await fs.run((vfs) => vfs.getAttributes(ROOT_INO))).birthNs).toBeUndefined();
});
