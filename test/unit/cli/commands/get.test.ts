/** `syncline get` to a disk that cannot hold everything, and to an open file. */
import { linkSync, lstatSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import type { SyncDisk } from "../../../../src/sync/disk/disk.ts";
import { folding } from "../../../support/folding-disk.ts";
import { CommandWorld } from "../../../support/command-world.ts";

const target = vi.hoisted(() => ({ alter: (disk: SyncDisk) => disk }));

vi.mock(import("../../../../src/sync/disk/real-disk.ts"), async (original) => {
  const { openRealDisk } = await original();
  return { openRealDisk: async (...call) => target.alter(await openRealDisk(...call)) };
});
afterEach(() => void (target.alter = (disk) => disk));

const events = vi.hoisted((): string[] => []);

vi.mock(import("../../../../src/cli/commands/bucket-reader.ts"), async (original) => {
  const { openReader, fileBytes, ...others } = await original();
  return {
    ...others,
    async openReader(...call) {
      const reader = await openReader(...call);
      const close = async () => {
        events.push("closed");
        await reader[Symbol.asyncDispose]();
      };
      return { ...reader, [Symbol.asyncDispose]: close };
    },
    async *fileBytes(...call) {
      yield* fileBytes(...call);
      events.push("read");
    },
  };
});

async function world() {
  const world = await CommandWorld.create();
  const { address } = world;
  const at = (...names: string[]) => join(world.folder, ...names);
  mkdirSync(at("d"));
  for (const name of ["README", "readme", "z"]) writeFileSync(at("d", name), name);
  linkSync(at("d", "z"), at("d", "zz"));
  await world.done("put", "-r", at("d"), address);
  return { at, address, run: world.run.bind(world) };
}

test("where names collide, get names those that it left out and ends with 4", async () => {
  const { at, address, run } = await world();
  target.alter = folding((text) => text.toLowerCase());
  const { status, out, err } = await run("get", "-r", `${address}/d`, at("copy"));
  expect({ status, ...JSON.parse(err) }).toMatchObject({
    status: 4,
    code: "path_exists",
    message: expect.stringMatching(/: copy\/readme\.$/),
  });
  expect(JSON.parse(out)).toMatchObject({ files: 2 });
  expect(readFileSync(at("copy", "readme"), "utf8")).toBe("README");
});

test("on a disk without hard links, get copies each name as a file and says so", async () => {
  const { at, address, run } = await world();
  const refused = Object.assign(new Error("EPERM"), { code: "EPERM" });
  target.alter = (disk) => Object.assign(disk, { link: () => Promise.reject(refused) });
  const { status, err } = await run("get", "-r", `${address}/d`, at("copy"));
  expect({ status, ...JSON.parse(err) }).toMatchObject({ status: 0, notice: expect.stringMatching(/1 hard link as/) });
  expect(readFileSync(at("copy", "zz"), "utf8")).toBe("z");
});

test.skipIf(process.platform !== "linux")(
  "get writes into an open file, as into /dev/stdout, and keeps the link to it",
  async () => {
    const { at, address, run } = await world();
    symlinkSync(`/proc/self/fd/${openSync(at("out"), "w")}`, at("stdout"));
    events.length = 0;
    expect(await run("get", `${address}/d/README`, at("stdout"))).toMatchObject({ status: 0 });
    // A master's connection ends with the reader.
    expect(events).toEqual(["read", "closed"]);
    expect(readFileSync(at("out"), "utf8")).toBe("README");
    expect(lstatSync(at("stdout")).isSymbolicLink()).toBe(true);
  },
);

test.each(["missing/", "README/", "missing/.", "README/."])(
  "a file is not copied to %s, which is no directory",
  async (given) => {
    const { at, address, run } = await world();
    writeFileSync(at("README"), "mine");
    const { status, err } = await run("get", `${address}/d/z`, at("") + given);
    expect([status, JSON.parse(err)]).toEqual([1, expect.objectContaining({ code: "local_io_failed" })]);
    expect(readFileSync(at("README"), "utf8")).toBe("mine");
  },
);
