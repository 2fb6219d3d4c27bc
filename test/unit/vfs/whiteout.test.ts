/** Renames that leave a whiteout, as overlayfs makes them in its upper layer. */
import { describe, expect, test } from "vitest";
import type { FileName } from "../../../src/base/ids.ts";
import { ROOT_INO } from "../../../src/base/ids.ts";
import { RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT } from "../../../src/vfs/filesystem.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const CALLER = { uid: 7, gid: 8 };
const WHITEOUT = 0o020000;
const [A, B] = ["a" as FileName, "b" as FileName];

async function renamed(flags: number, ...files: readonly string[]) {
  const fs = await VfsHarness.create();
  for (const file of files) await fs.make(file, file);
  await fs.run((vfs) => vfs.rename(ROOT_INO, A, ROOT_INO, B, flags, CALLER));
  return fs;
}

async function text(fs: VfsHarness): Promise<string> {
  return Buffer.from(await fs.read(await fs.ino("b"))).toString();
}

describe("a rename with a whiteout", () => {
  test("leaves a character device 0:0 of the caller, in the same change", async () => {
    const fs = await renamed(RENAME_WHITEOUT, "a");
    const check = async () => {
      expect(await fs.find("a")).toMatchObject({ mode: WHITEOUT, rdev: 0, ...CALLER, nlink: 1 });
      expect(await text(fs)).toBe("a");
    };
    await check();
    fs.vfs.persist();
    fs.restart();
    await check();
    await fs.publish();
    fs.restart();
    await check();
  });

  test("leaves it to the group of a set-gid directory, as everything that is made there", async () => {
    const fs = await VfsHarness.create();
    await fs.make("a");
    await fs.run((vfs) => vfs.setAttributes(ROOT_INO, { gid: 50, mode: 0o2775 }));
    await fs.run((vfs) => vfs.rename(ROOT_INO, A, ROOT_INO, B, RENAME_WHITEOUT, CALLER));
    expect(await fs.find("a")).toMatchObject({ uid: CALLER.uid, gid: 50 });
  });

  test("replaces a file at the new name, and refuses to with NOREPLACE", async () => {
    const fs = await renamed(RENAME_WHITEOUT, "a", "b");
    expect(await text(fs)).toBe("a");
    await expect(renamed(RENAME_WHITEOUT | RENAME_NOREPLACE, "a", "b")).rejects.toThrow("EEXIST");
  });

  test("cannot be combined with EXCHANGE", async () => {
    await expect(renamed(RENAME_WHITEOUT | RENAME_EXCHANGE, "a", "b")).rejects.toThrow("EINVAL");
  });
});
