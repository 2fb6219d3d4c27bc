/** Renames in a folder without the addon, while a program saves the same file. */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { parkedPath, PARKED_PATH, NEW_PATH } from "../../../../src/sync/disk/paths.ts";
import { PortableDisk } from "../../../../src/sync/disk/portable-disk.ts";
import type { FileId } from "../../../../src/base/ids.ts";
import { path } from "../../../support/sync-world.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

/** Runs before each call that changes or looks at a name. */
const program = vi.hoisted(() => ({ before: () => {} }));
vi.mock(import("node:fs/promises"), async (original) => {
  const fs = await original();
  const watched = (call: (...args: never[]) => unknown) =>
    ((...args: never[]) => {
      program.before();
      return call(...args);
    }) as never;
  const { link, lstat, rename, unlink } = fs;
  return { ...fs, link: watched(link), lstat: watched(lstat), rename: watched(rename), unlink: watched(unlink) };
});

test.each([
  ["another name", path("b")],
  ["out of sight", parkedPath("id" as FileId)],
])("a file that is saved while it moves to %s keeps what was saved, whenever that was", async (_, to) => {
  let calls = Infinity;
  for (let moment = 0; moment < calls; moment++) {
    const root = await temporaryFolder();
    for (const each of [NEW_PATH, PARKED_PATH]) mkdirSync(join(root, ...each), { recursive: true });
    writeFileSync(join(root, "a"), "old");
    let count = 0;
    program.before = () => {
      if (count++ !== moment) return;
      writeFileSync(join(root, "saving"), "saved");
      renameSync(join(root, "saving"), join(root, "a"));
    };
    await new PortableDisk(root).rename(path("a"), to, "free");
    program.before();
    calls = Math.min(calls, count);
    program.before = () => {};
    const found = [path("a"), to].map((each) => textAt(join(root, ...each)));
    expect(found, `saved before call ${moment}`).toContain("saved");
    expect(readdirSync(join(root, ...NEW_PATH))).toEqual([]);
  }
  expect(calls).toBeGreaterThan(3);
});

function textAt(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
