/** `pin`, `unpin` and `free`: which contents stay on this machine. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Workspace } from "../support/syncline.ts";

const space = new Workspace("pins");
afterAll(() => space[Symbol.dispose]());
const soon = { timeout: 60_000, interval: 50 };
const MB = 1_000_000;

interface Pins {
  readonly paths: readonly { readonly path: string; readonly absent: boolean }[];
  readonly files: number;
  readonly bytes: number;
  readonly keptBytes: number;
  readonly complete: boolean;
  readonly error: { readonly code: string } | null;
}

const cacheOf = (place: string) => (space.status(place)["cache"] as { bytes: number }).bytes;
const pinsOf = (place: string) => space.status(place)["pins"] as Pins | null;

/** The folder of this state that has a pinned folder. */
function stateFolder(): string {
  const states = space.at("state", "syncline");
  const name = readdirSync(states).find((each) => existsSync(join(states, each, "pinned")));
  if (name === undefined) throw new Error("no state has pinned blocks");
  return join(states, name);
}

test(
  "a pinned tree is readable after a restart without bucket and cache, with what others have published",
  { timeout: 300_000 },
  async () => {
    const [url, one, two] = [space.url("bucket"), space.mountPoint("one"), space.mountPoint("two")];
    space.do("init", url);
    space.mount(url, one);
    mkdirSync(`${one}/photos/2024`, { recursive: true });
    const large = randomBytes(9 * MB);
    writeFileSync(`${one}/photos/large`, large);
    writeFileSync(`${one}/photos/2024/small`, "small");
    writeFileSync(`${one}/photos/changing`, "first");
    writeFileSync(`${one}/photos/going`, randomBytes(MB));
    symlinkSync("2024/small", `${one}/photos/link`);
    writeFileSync(`${one}/other`, randomBytes(3 * MB));
    space.json("flush", one);

    space.mount(url, two, "--cache-size", "16 MiB");
    expect(pinsOf(two)).toBe(null);
    expect(space.json("pin", `${two}/photos`)).toMatchObject({ files: 4, bytes: 10 * MB + 10 });
    expect(pinsOf(two)).toMatchObject({ paths: [{ path: "/photos", absent: false }], complete: true, error: null });
    expect(space.run(["status", two]).out).toMatch(/pinned +4 files, 9\.54 MiB; [\d.]+ MiB are here\n +\/photos\n/);
    const before = pinsOf(two)?.keptBytes ?? 0;
    expect(before).toBeGreaterThan(10 * MB);

    const changed = randomBytes(2 * MB);
    writeFileSync(`${one}/photos/changing`, changed);
    rmSync(`${one}/photos/going`);
    space.json("flush", one);
    await expect.poll(() => readdirSync(`${two}/photos`).sort(), soon).toEqual(["2024", "changing", "large", "link"]);
    await expect.poll(() => pinsOf(two), soon).toMatchObject({ complete: true, files: 3, bytes: 11 * MB + 5 });
    // The blocks of the removed file are gone from here, too.
    expect(pinsOf(two)?.keptBytes).toBeLessThan(before + 1.5 * MB);

    space.do("unmount", two);
    rmSync(join(stateFolder(), "cache"), { recursive: true });
    renameSync(space.at("bucket"), space.at("away"));
    space.mount(url, two, "--cache-size", "16 MiB", "--read-timeout", "1");
    expect(readdirSync(`${two}/photos`).sort()).toEqual(["2024", "changing", "large", "link"]);
    expect(readFileSync(`${two}/photos/large`).equals(large)).toBe(true);
    expect(readFileSync(`${two}/photos/changing`).equals(changed)).toBe(true);
    expect(lstatSync(`${two}/photos/link`).isSymbolicLink()).toBe(true);
    expect(readFileSync(`${two}/photos/link`, "utf8")).toBe("small");
    expect(() => readFileSync(`${two}/other`)).toThrow(/EIO/);

    renameSync(space.at("away"), space.at("bucket"));
    await expect.poll(() => space.status(two)["online"], soon).toBe(true);
    expect(space.run(["unpin", `${two}/photos/large`]).err).toContain("It is in /photos, which is pinned.");
    expect(space.json("unpin", `${two}/photos`)).toEqual({ left: 0 });
    await expect.poll(() => readdirSync(join(stateFolder(), "pinned")), soon).toEqual([]);
    expect(pinsOf(two)).toBe(null);
    space.do("unmount", two);
    space.do("unmount", one);
  },
);

test(
  "free returns the disk space of published files, and keeps pinned and unpublished ones",
  { timeout: 300_000 },
  async () => {
    const [url, one, two] = [space.url("freed"), space.mountPoint("writes"), space.mountPoint("frees")];
    space.do("init", url);
    space.mount(url, one);
    mkdirSync(`${one}/videos`);
    for (const name of ["a", "b", "best"]) writeFileSync(`${one}/videos/${name}`, randomBytes(5 * MB));
    writeFileSync(`${one}/other`, randomBytes(MB));
    space.json("flush", one);
    space.mount(url, two, "--read-timeout", "1");
    const files = () => readdirSync(`${two}/videos`).map((name) => readFileSync(`${two}/videos/${name}`));
    const before = files();
    readFileSync(`${two}/other`);
    space.do("pin", `${two}/videos/best`);
    expect(space.run(["free", `${two}/videos/best`]).err).toContain("/videos/best is pinned.");
    expect(space.run(["free", `${two}/absent`]).err).toContain("/absent does not exist.");

    space.do("pause", two);
    writeFileSync(`${two}/videos/new`, "new");
    const taken = cacheOf(two);
    const freed = space.json("free", `${two}/videos`);
    expect(freed).toMatchObject({ files: 2, unpublished: { files: 1, bytes: 3 }, pinned: ["/videos/best"] });
    expect(freed["freedBytes"]).toBeGreaterThan(9.9 * MB);
    expect(freed["freedBytes"]).toBeLessThan(10.1 * MB);
    expect(taken - cacheOf(two)).toBeGreaterThan(9.9 * MB);
    expect(space.run(["free", `${two}/videos`]).out).toBe(
      "Freed 0 B of 2 files. 1 file, 3 B is not published and stays. /videos/best is pinned and stays.\n",
    );

    // The kernel has dropped its pages, too, so only pinned and unpublished contents can be read.
    renameSync(space.at("freed"), space.at("freed-away"));
    expect(readFileSync(`${two}/videos/best`).equals(before[2] ?? Buffer.alloc(0))).toBe(true);
    expect(readFileSync(`${two}/videos/new`, "utf8")).toBe("new");
    expect(() => readFileSync(`${two}/videos/a`)).toThrow(/EIO/);
    expect(readFileSync(`${two}/other`)).toHaveLength(MB);
    renameSync(space.at("freed-away"), space.at("freed"));
    // On a busy machine, the first reads may take longer than --read-timeout.
    const isWhole = () => {
      try {
        return Buffer.concat(files().slice(0, 3)).equals(Buffer.concat(before));
      } catch {
        return false;
      }
    };
    await expect.poll(isWhole).toBe(true);
    space.do("resume", two);
    space.do("unmount", two);
    space.do("unmount", one);
  },
);

test("a file can be freed while programs read it", { timeout: 200_000 }, async () => {
  const [url, dir] = [space.url("while-read"), space.mountPoint("reads")];
  space.do("init", url);
  space.mount(url, dir);
  const bytes = randomBytes(20 * MB);
  writeFileSync(`${dir}/f`, bytes);
  space.json("flush", dir);
  const compared = space.at("expected");
  writeFileSync(compared, bytes);
  const loop = 'for i in 1 2 3 4 5 6 7 8; do cmp "$1" "$2" || exit 1; done';
  const readers = [1, 2].map(() => spawn("sh", ["-c", loop, "sh", compared, `${dir}/f`], { stdio: "ignore" }));
  const ended = readers.map((reader) => once(reader, "exit"));
  for (let times = 0; times < 5; times++) space.json("free", dir);
  expect(await Promise.all(ended)).toEqual([
    [0, null],
    [0, null],
  ]);
  space.do("unmount", dir);
});

test(
  "paths outside a mount or the bucket cannot be pinned, and nothing can be pinned during a pause",
  { timeout: 200_000 },
  async () => {
    const [url, dir] = [space.url("refused"), space.mountPoint("refuses")];
    space.do("init", url);
    space.mount(url, dir);
    writeFileSync(`${dir}/f`, "f");
    expect(space.run(["pin", `${dir}/absent`]).err).toContain("/absent is not in the bucket");
    expect(space.run(["pin", space.at("nowhere")]).err).toContain("is not in a mount");
    space.do("pin", `${dir}/f`);
    space.do("pause", dir);
    writeFileSync(`${dir}/g`, "g");
    const refused = space.run(["pin", `${dir}/g`]);
    expect(refused.status).toBe(3);
    expect(refused.err).toContain("Syncing is paused");
    space.do("resume", dir);
    space.do("pin", `${dir}/g`);
    expect(pinsOf(dir)).toMatchObject({ paths: [{ path: "/f" }, { path: "/g" }], files: 2, complete: true });
    rmSync(`${dir}/f`);
    space.json("flush", dir);
    await expect
      .poll(() => pinsOf(dir), soon)
      .toMatchObject({ paths: [{ absent: true }, { absent: false }], files: 1 });
    space.do("unmount", dir);
  },
);
