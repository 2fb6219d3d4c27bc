/** An agent whose state's disk is full: it starts, also with the history, room can be made in its mount, and its end is reported. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Workspace } from "../support/syncline.ts";

const space = new Workspace("full-disk");
afterAll(() => space[Symbol.dispose]());
const isAble = process.platform === "linux" && process.getuid?.() === 0;

test.skipIf(!isAble)("an agent starts, frees space and unmounts on a full state disk", { timeout: 200_000 }, () => {
  const [url, mount, small] = [space.url("bucket"), space.mountPoint("mount"), space.mountPoint("small")];
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=16m", "small", small]);
  const state = join(small, "state");
  mkdirSync(state, { mode: 0o700 });
  space.do("init", url, "--state", state);
  space.behind("mount", url, mount, "--state", state);
  writeFileSync(join(mount, "large"), randomBytes(4_000_000));
  expect(space.json("unmount", mount, "--state", state)).toMatchObject({ drained: true });
  fill(join(small, "filled"));

  space.behind("mount", url, mount, "--state", state, "--history");
  rmSync(join(mount, "large"));
  expect(space.json("flush", mount, "--state", state)).toMatchObject({ published: true });
  fill(join(small, "filled more"));
  expect(space.json("unmount", mount, "--state", state)).toMatchObject({ drained: true, error: null });
});

function fill(path: string): void {
  for (const bytes of [Buffer.alloc(1 << 20), Buffer.alloc(4096)]) {
    try {
      for (;;) appendFileSync(path, bytes);
    } catch {}
  }
}
