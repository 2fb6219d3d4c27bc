/** What a folder under watch is told of, on a real disk. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { DiskPath } from "../../../../src/sync/disk/disk.ts";
import { watchFolderTree, type FolderNotices } from "../../../../src/sync/scan/folder-notices.ts";
import { path } from "../../../support/sync-world.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const soon = { timeout: 60_000, interval: 20 };
const opened: FolderNotices[] = [];
afterEach(async () => {
  for (const notices of opened.splice(0)) await notices[Symbol.asyncDispose]();
});

async function watched(folder: string, hidden: readonly DiskPath[] = []) {
  const told = { times: 0 };
  const notices = watchFolderTree(folder, { hidden, changed: () => told.times++, failed: (why) => expect.fail(why) });
  opened.push(notices);
  notices.resume();
  await expect.poll(() => told.times, soon).toBeGreaterThan(0);
  return { told, notices };
}

test("a file change is reported, even deep down or in a directory created later", { timeout: 120_000 }, async () => {
  const folder = await temporaryFolder();
  mkdirSync(join(folder, "a/b"), { recursive: true });
  writeFileSync(join(folder, "a/b/file"), "old");
  const { told } = await watched(folder);
  told.times = 0;
  writeFileSync(join(folder, "a/b/file"), "new");
  await expect.poll(() => told.times, soon).toBeGreaterThan(0);
  mkdirSync(join(folder, "late"));
  // Until it is watched, which nobody tells, what comes into it is not told of.
  let tries = 0;
  const write = () => {
    told.times = 0;
    writeFileSync(join(folder, "late/file"), `text ${tries++}`);
  };
  write();
  await expect.poll(() => told.times > 0 || write(), soon).toBe(true);
});

test("a paused watch reports nothing, and a possible change when it resumes", async () => {
  const folder = await temporaryFolder();
  const { told, notices } = await watched(folder);
  notices.rest();
  told.times = 0;
  writeFileSync(join(folder, "file"), "text");
  expect(told.times).toBe(0);
  notices.resume();
  await expect.poll(() => told.times, soon).toBeGreaterThan(0);
}, 120_000);

test("a folder that went away is watched again once it is back", { timeout: 120_000 }, async () => {
  const folder = join(await temporaryFolder(), "folder");
  mkdirSync(folder);
  const { told, notices } = await watched(folder);
  rmSync(folder, { recursive: true });
  notices.resume();
  // As the directory that a disk is mounted on, and then the disk.
  for (const made of ["other", "folder"]) {
    mkdirSync(folder);
    told.times = 0;
    notices.resume();
    await expect.poll(() => told.times, soon).toBeGreaterThan(0);
    told.times = 0;
    writeFileSync(join(folder, "file"), made);
    await expect.poll(() => told.times, soon).toBeGreaterThan(0);
    renameSync(folder, `${folder} ${made}`);
  }
});

test.runIf(process.platform === "linux")("files take no watches of their own", { timeout: 120_000 }, async () => {
  const folder = await temporaryFolder();
  for (let file = 0; file < 100; file++) writeFileSync(join(folder, `file ${file}`), "text");
  mkdirSync(join(folder, ".syncline/new"), { recursive: true });
  const before = watches();
  await watched(folder);
  expect(watches() - before).toBe(1);
});

test.runIf(process.platform === "linux")(
  "hidden paths and Syncline's own folders are not watched",
  { timeout: 120_000 },
  async () => {
    const folder = await temporaryFolder();
    for (const each of ["state/agent/cache", "inner/.syncline/new"]) mkdirSync(join(folder, each), { recursive: true });
    const before = watches();
    await watched(folder, [path("state/agent")]);
    // The folder, `state` and `inner`.
    expect(watches() - before).toBe(3);
  },
);

function watches(): number {
  return readdirSync("/proc/self/fdinfo").reduce((sum, descriptor) => {
    try {
      return sum + readFileSync(join("/proc/self/fdinfo", descriptor), "utf8").split("inotify wd:").length - 1;
    } catch {
      return sum; // The descriptor of the listing itself.
    }
  }, 0);
}
