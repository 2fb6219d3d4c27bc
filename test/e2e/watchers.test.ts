/** What programs that watch files of a mount (inotify(7)) are told of another machine's changes. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmdirSync, rmSync, statSync, watch, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { describe, expect, test } from "vitest";
import { Workspace } from "../support/syncline.ts";

function whyNot(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux";
  return existsSync("/dev/fuse") ? undefined : "there is no /dev/fuse";
}

const reason = whyNot();
describe.skipIf(reason !== undefined)(`watchers${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  // The kernel reports only names that it has cached, and may drop one at any time.
  test("of a file or directory itself are told that another machine removed it", { retry: 2 }, async () => {
    using space = new Workspace("watchers");
    const url = space.url("bucket");
    space.do("init", url);
    const [here, there] = [space.mountPoint("here"), space.mountPoint("there")];
    space.mount(url, here);
    space.mount(url, there);
    writeFileSync(space.at("there", "file"), "1");
    mkdirSync(space.at("there", "directory"));
    space.do("flush", there);
    const paths = ["file", "directory"].map((name) => space.at("here", name));
    await expect.poll(() => paths.every((path) => existsSync(path)), { timeout: 20_000 }).toBe(true);
    const told: string[] = [];
    const watchers = paths.map((path) => {
      statSync(path);
      return watch(path, (event) => void told.push(`${basename(path)} ${event}`));
    });
    rmSync(space.at("there", "file"));
    rmdirSync(space.at("there", "directory"));
    space.do("flush", there);
    await expect
      .poll(() => told, { timeout: 20_000 })
      .toEqual(expect.arrayContaining(["file rename", "directory rename"]));
    for (const watcher of watchers) watcher.close();
    for (const path of [here, there]) expect(spawnSync("umount", [path]).status).toBe(0);
  });
});
