/** Index programs fetch little, and can read everything that is on this machine. */
import { copyFileSync, mkdirSync, readdirSync, realpathSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Workspace } from "../support/syncline.ts";

const space = new Workspace("index-programs");
afterAll(() => space[Symbol.dispose]());
const soon = { timeout: 60_000, interval: 50 };
const MB = 1_000_000;
const FILES = 60;

/** Reads all files with a copy of cat under this name. Returns its status, and how many bytes it got. */
function readAll(name: string, dir: string) {
  const program = space.at(name);
  copyFileSync(realpathSync("/bin/cat"), program);
  const files = readdirSync(dir).map((each) => join(dir, each));
  const { status, stdout, stderr } = spawnSync(program, files, { maxBuffer: 1 << 28 });
  return { status, bytes: stdout.length, told: stderr.toString("utf8") };
}

const cached = (dir: string) => (space.status(dir)["cache"] as { bytes: number }).bytes;

test(
  "an index program fetches at most 64 blocks, and can read everything that is on this machine",
  { timeout: 300_000 },
  async () => {
    const [url, one, two, three] = [
      space.url("bucket"),
      ...["one", "two", "three"].map((each) => space.mountPoint(each)),
    ];
    space.do("init", url);
    space.mount(url, one ?? "");
    mkdirSync(`${one}/d`);
    for (let each = 0; each < FILES; each++) writeFileSync(`${one}/d/${each}`, randomBytes(MB));
    space.json("flush", one ?? "");

    space.mount(url, two ?? "");
    const known = readAll("updatedb", `${two}/d`);
    expect(known.status).toBe(1);
    expect(known.told).toContain("Input/output error");
    await expect.poll(() => cached(two ?? ""), soon).toBeGreaterThan(0);
    const fetched = cached(two ?? "");
    // Blocks of such files have 256 KiB or less on average, and at most a MiB.
    expect(fetched).toBeLessThan((FILES * MB) / 2);
    expect(readAll("other-program", `${two}/d`)).toEqual({ status: 0, bytes: FILES * MB, told: "" });
    await expect.poll(() => cached(two ?? ""), soon).toBeGreaterThan(FILES * MB);
    expect(readAll("updatedb", `${two}/d`)).toEqual({ status: 0, bytes: FILES * MB, told: "" });

    space.mount(url, three ?? "", "--index-programs", "other-program");
    expect(readAll("updatedb", `${three}/d`)).toMatchObject({ status: 0 });
  },
);
