/** A mount while a program writes to it without a pause. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, fsyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, whyNoMount } from "../support/fuse-process.ts";
import { Workspace } from "../support/syncline.ts";

const reason = whyNoMount();

describe.skipIf(reason !== undefined)(`a busy mount${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  let space: Workspace;
  beforeAll(() => {
    space = new Workspace("busy");
  });
  afterAll(() => space[Symbol.dispose]());

  test("flush, and fsync with --durability published, return once all earlier writes are in the bucket", async () => {
    const url = space.url("bucket");
    space.do("init", url);
    const dir = space.mountPoint("mount");
    space.mount(url, dir, "--durability", "published");
    const writer = spawn("bash", ["-c", "while :; do echo line >> log; done"], { cwd: dir });
    await eventually(async () => expect(existsSync(join(dir, "log"))).toBe(true));
    for (let round = 0; round < 3; round++) {
      expect(space.run(["flush", dir, "--json"])).toMatchObject({ status: 0 });
      const file = openSync(join(dir, "mine"), "a");
      writeSync(file, `round ${round}\n`);
      fsyncSync(file);
      closeSync(file);
    }
    writer.kill();
    await once(writer, "close");
    expect(space.do("cat", `${url}/mine`)).toContain("round 2");
    space.do("unmount", dir);
  });
});
