/** An agent whose state's disk is full: it starts, also with the history, room can be made in its mount and of its pins, and its end is reported. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Workspace } from "../support/syncline.ts";

const space = new Workspace("full-disk");
afterAll(() => space[Symbol.dispose]());
const isAble = process.platform === "linux" && process.getuid?.() === 0;

/** The state's disk is a tmpfs of 32 MiB. */
function onSmallDisk(name: string) {
  const [url, mount, small] = [space.url(name), space.mountPoint(`mount ${name}`), space.mountPoint(`small ${name}`)];
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=32m", "small", small]);
  const state = join(small, "state");
  mkdirSync(state, { mode: 0o700 });
  space.do("init", url, "--state", state);
  return { url, mount, small, state };
}

test.skipIf(!isAble)("an agent starts, frees space and unmounts on a full state disk", { timeout: 200_000 }, () => {
  const { url, mount, small, state } = onSmallDisk("bucket");
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

test.skipIf(!isAble)("unpin makes room on a full state disk, also during a pause", { timeout: 200_000 }, async () => {
  const { url, mount, small, state } = onSmallDisk("pins");
  const on = ["--state", state];
  space.behind("mount", url, mount, ...on);
  for (const name of ["large", "other"]) writeFileSync(join(mount, name), randomBytes(1_000_000));
  space.json("flush", mount, ...on);
  space.do("pin", join(mount, "large"), join(mount, "other"), ...on);
  space.do("pause", mount, ...on);
  space.do("unmount", mount, ...on);
  // As after a boot: all blocks are checked again.
  rmSync(join(state, "pins-checked"), { force: true });
  for (const name of readdirSync(state)) rmSync(join(state, name, "pins-checked"), { force: true });
  fill(join(small, "filled"));
  space.behind("mount", url, mount, ...on);
  space.json("unpin", join(mount, "large"), ...on);
  await expect.poll(() => statfsSync(small).bavail * 4096, { timeout: 20_000 }).toBeGreaterThan(900_000);
  space.do("unmount", mount, ...on);
  space.behind("mount", url, mount, ...on);
  expect(space.status(mount)["pins"]).toMatchObject({ paths: [{ path: "/other", absent: false }] });
  space.do("unmount", mount, ...on);
});

test.skipIf(!isAble)("folder sync names its database if the state's disk is full", () => {
  const { url, small, state } = onSmallDisk("synced");
  const folder = space.at("folder");
  mkdirSync(folder);
  space.do("sync", url, folder, "--once", "--state", state);
  for (let each = 0; each < 2_000; each++) writeFileSync(join(folder, `${each}`), `${each}`);
  const filled = join(small, "filled");
  fill(filled);
  // The database can be opened, but has no room to record what is sent.
  truncateSync(filled, statSync(filled).size - 200_000);
  const { status, err } = space.run(["sync", url, folder, "--once", "--state", state]);
  expect(err).toMatch(/^syncline: Out of disk space at \/.*\/sync\.db: .*\n  Free some disk space.*\n$/);
  expect(status).not.toBe(0);
});

function fill(path: string): void {
  for (const bytes of [Buffer.alloc(1 << 20), Buffer.alloc(4096)]) {
    try {
      for (;;) appendFileSync(path, bytes);
    } catch {}
  }
}
