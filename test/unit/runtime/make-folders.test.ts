/** Creates folders with their parents, also where the system answers ENOENT for one that cannot be created. */
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeDurableFolder, systemDisk } from "../../../src/objects/disk.ts";
import { makeFolders } from "../../../src/runtime/make-folders.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const isLinux = process.platform === "linux";

test("creates what is missing, and returns the topmost folder that it created", async () => {
  const top = await temporaryFolder();
  expect(makeFolders(join(top, "a/b/c"), 0o700)).toBe(join(top, "a"));
  expect(statSync(join(top, "a/b/c")).isDirectory()).toBe(true);
  expect(makeFolders(join(top, "a/b/c"))).toBe(undefined);
  expect(makeFolders(join(top, "a/d"))).toBe(join(top, "a/d"));
  mkdirSync(join(top, "e"));
  writeFileSync(join(top, "e/file"), "");
  expect(() => makeFolders(join(top, "e/file"))).toThrow(/EEXIST/);
  expect(() => makeFolders(join(top, "e/file/below"))).toThrow(/ENOTDIR/);
});

test.skipIf(!isLinux)("fails where a folder cannot be made and the system calls it missing", async () => {
  expect(() => makeFolders("/proc/none/below")).toThrow(/ENOENT/);
  await expect(makeDurableFolder(systemDisk, "/proc/none/below")).rejects.toThrow(/ENOENT/);
});
