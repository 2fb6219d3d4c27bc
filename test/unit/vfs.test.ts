import { expect, test } from "vitest";
import { ROOT_INO } from "../../src/base/ids.ts";
import { nameFromText } from "../../src/base/names.ts";
import { CALLER, VfsHarness } from "../support/vfs-harness.ts";

test("what is written is read back, before and after it is published, and after a restart", async () => {
  const fs = await VfsHarness.create();
  await fs.makeDirectory("d");
  await fs.make("d/f", "hello");
  await fs.make("big");
  await fs.write(await fs.ino("big"), 200_000, Buffer.alloc(100_000, 7));
  fs.vfs.commit();
  const before = await fs.snapshot();
  await fs.publish();
  expect(await fs.snapshot()).toEqual(before);
  fs.restart();
  expect(await fs.snapshot()).toEqual(before);
  expect(await fs.text("d/f")).toBe("hello");
  expect(fs.vfs.pending()).toEqual({ files: 0, bytes: 0, oldestMs: 0 });
  expect(ROOT_INO).toBe(1);
  expect(nameFromText("x")).toBe("x");
  expect(CALLER.uid).toBe(0);
});
