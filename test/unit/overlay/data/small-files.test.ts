/** Small files that share data files, over the restarts of an agent. */
import { expect, test } from "vitest";
import { SMALL_FILE_BYTES } from "../../../../src/base/limits.ts";
import { VfsHarness } from "../../../support/vfs-harness.ts";

test("small files survive a kill even if every earlier file in the shared data file outgrew it", async () => {
  const fs = await VfsHarness.create();
  const grown = await fs.make("grown", "first words");
  await fs.write(grown, SMALL_FILE_BYTES, "grew");
  await fs.make("small", "small");
  fs.vfs.persist();
  fs.restart();
  await fs.vfs.sync();
  fs.restart();
  expect(await fs.text("small")).toBe("small");
  expect(await fs.text("grown")).toMatch(/^first words\0+grew$/);
});
