/** Birth times as programs see them. */
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { whyNoMount } from "../support/fuse-process.ts";
import { Workspace } from "../support/syncline.ts";

const reason = whyNoMount();

test.skipIf(reason !== undefined)(`stat shows when files were made${reason ? ` (skipped: ${reason})` : ""}`, () => {
  using space = new Workspace("birth");
  const [url, dir] = [space.url("bucket"), space.mountPoint("mount")];
  space.do("init", url);
  space.mount(url, dir, "--birth-times");
  const births = () =>
    ["file", "folder", "link", "."].map((name) =>
      execFileSync("stat", ["-c", "%W", join(dir, name)], { encoding: "utf8" }),
    );
  const before = Date.now();
  writeFileSync(join(dir, "file"), "x");
  mkdirSync(join(dir, "folder"));
  symlinkSync("file", join(dir, "link"));
  const { birthtimeMs, mode, size, nlink } = statSync(join(dir, "file"));
  expect(birthtimeMs).toBeGreaterThanOrEqual(before - 1);
  expect(birthtimeMs).toBeLessThanOrEqual(Date.now() + 1);
  expect({ mode, size, nlink }).toEqual({ mode: 0o100644, size: 1, nlink: 1 });
  const made = births();
  // The root directory is older than the first mount.
  expect(made[3]).toBe("0\n");
  utimesSync(join(dir, "file"), 1, 1);
  appendFileSync(join(dir, "file"), "y");
  expect(births()).toEqual(made);
  space.do("unmount", dir);
  space.mount(url, dir, "--birth-times");
  expect(births()).toEqual(made);
  expect(statSync(join(dir, "file")).birthtimeMs).toBe(birthtimeMs);
  space.do("unmount", dir);
});
