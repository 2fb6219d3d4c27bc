/** Removing a folder with everything in it. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { ERRNO } from "../../../src/base/errno.ts";
import { type FileName, ROOT_INO } from "../../../src/base/ids.ts";
import { silentLog } from "../../../src/base/log.ts";
import { Access } from "../../../src/files/access.ts";
import { OpenInodes } from "../../../src/files/open-inodes.ts";
import { removeTree } from "../../../src/files/remove.ts";
import type { FileSystem } from "../../../src/vfs/filesystem.ts";
import { overriding } from "../../../src/vfs/overriding.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

/** Removes "d"; `between` is called before each step, with its number. */
async function removeD(fs: VfsHarness, between: (step: number) => void = () => {}): Promise<void> {
  let step = 0;
  const paced: FileSystem = overriding(fs.vfs, { throttle: () => void between(++step) });
  const access = new Access(paced, new OpenInodes(paced, silentLog), new AbortController().signal);
  await removeTree({ access, clock: systemClock }, ROOT_INO, "d" as FileName, await fs.ino("d"));
}

async function paths(fs: VfsHarness): Promise<string[]> {
  return [...(await fs.snapshot()).keys()].filter(Boolean).sort();
}

describe("a folder is removed", () => {
  test.each([true, false])("with all its files and folders (published: %s)", async (isPublished) => {
    const fs = await VfsHarness.create();
    await fs.makeDirectory("d");
    for (let index = 0; index < 600; index++) {
      await fs.make(`d/${index}`);
      await fs.makeDirectory(`d/folder ${index}`);
      if (index % 100 === 0) await fs.make(`d/folder ${index}/in`);
    }
    if (isPublished) await fs.publish();
    await removeD(fs);
    expect(await paths(fs)).toEqual([]);
  });

  test("with 300,000 files in it", async () => {
    const names = new Set(Array.from({ length: 300_000 }, (_, index) => index));
    const fs = await VfsHarness.create();
    await fs.makeDirectory("d");
    const ino = await fs.ino("d");
    let isGone = false;
    const large: FileSystem = overriding(fs.vfs, {
      readDirectory(_, cookie, __, emit) {
        for (const name of names) {
          const entry = { ino, name: String(name) as FileName, mode: 0o100644, next: name + 1, attributes: undefined };
          if (name >= cookie && !emit(entry)) return;
        }
      },
      unlink: (_, name) => void names.delete(Number(name)),
      removeDirectory() {
        expect(names.size).toBe(0);
        isGone = true;
      },
    });
    const access = new Access(large, new OpenInodes(large, silentLog), new AbortController().signal);
    await removeTree({ access, clock: systemClock }, ROOT_INO, "d" as FileName, ino);
    expect(isGone).toBe(true);
  });

  test("with what others add meanwhile", async () => {
    const fs = await VfsHarness.create();
    await fs.makeDirectory("d");
    await fs.makeDirectory("d/e");
    for (let index = 0; index < 300; index++) await fs.make(`d/e/${index}`);
    const [d, e] = [await fs.ino("d"), await fs.ino("d/e")];
    const make = (parent: typeof d, name: string) =>
      fs.vfs.makeNode(parent, name as FileName, 0o100644, 0, { uid: 0, gid: 0 });
    await removeD(fs, (step) => {
      if (step === 4) make(e, "0 before what is read next");
      if (step === 5) make(d, "late");
    });
    expect(await paths(fs)).toEqual([]);
  });

  test("unless somebody keeps refilling it: that ends with ENOTEMPTY", async () => {
    const fs = await VfsHarness.create();
    await fs.makeDirectory("d");
    await fs.makeDirectory("d/0");
    const d = await fs.ino("d");
    const refill = (count: number) => fs.vfs.makeDirectory(d, String(count) as FileName, 0o755, { uid: 0, gid: 0 });
    await expect(removeD(fs, refill)).rejects.toMatchObject({ errno: ERRNO.ENOTEMPTY });
  });
});

describe("what is moved out of the folder meanwhile", () => {
  test("stays, with everything in it", async () => {
    const fs = await VfsHarness.create();
    for (const folder of ["d", "d/a", "d/z", "d/z/deep"]) await fs.makeDirectory(folder);
    for (let index = 0; index < 600; index++) await fs.make(`d/z/deep/${index}`);
    await fs.make("d/a/f");
    const d = await fs.ino("d");
    await removeD(fs, (step) => {
      if (step === 4) fs.vfs.rename(d, "z" as FileName, ROOT_INO, "kept" as FileName, 0);
    });
    const left = await paths(fs);
    expect(left.filter((path) => !path.startsWith("kept/deep/"))).toEqual(["kept", "kept/deep"]);
    expect(left.length).toBeGreaterThan(300);
  });

  test("stays, and the rest goes, if others did it", async () => {
    const fs = await VfsHarness.create();
    for (const folder of ["d", "d/gone", "d/moved", "d/rest"]) await fs.makeDirectory(folder);
    for (const folder of ["gone", "moved", "rest"])
      for (let index = 0; index < 300; index++) await fs.make(`d/${folder}/${index}`);
    await fs.publish();
    const base = await fs.others(async (other) => {
      await other.rename("d/moved", "kept");
      for (let index = 0; index < 300; index++) await other.unlink(`d/gone/${index}`);
      const d = await other.ino("d");
      await other.run((vfs) => vfs.removeDirectory(d, "gone" as FileName));
    });
    await removeD(fs, (step) => {
      if (step === 2) fs.vfs.adopt(base);
    });
    const left = await paths(fs);
    expect(left).toHaveLength(301);
    expect(left.every((path) => path.startsWith("kept"))).toBe(true);
  });
});
