import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Disk, systemDisk } from "../../../src/objects/disk.ts";
import { promptDisk } from "../../../src/objects/prompt-disk.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const EXT4 = 0xef53;
const NFS = 0x6969;

/** A prompt disk over a folder with a file, and what it left to the threads. */
async function noted(kind: number | Error | undefined, clock = { monotonicMs: () => 0 }) {
  const path = await temporaryFolder();
  const file = join(path, "file");
  await writeFile(file, "0123456789");
  const left: string[] = [];
  const noting = (name: "readFile" | "readdir" | "stat") => {
    const call = systemDisk[name] as (...args: unknown[]) => never;
    return (...args: unknown[]) => {
      left.push(name);
      return call(...args);
    };
  };
  const threads = { ...systemDisk, readFile: noting("readFile"), readdir: noting("readdir"), stat: noting("stat") };
  const kindOf = () => (kind instanceof Error ? Promise.reject(kind) : Promise.resolve(kind));
  const disk = promptDisk({ path, clock, kindOf, disk: threads as unknown as Disk });
  // The first call asks what the folder is on.
  await disk.stat(path);
  left.length = 0;
  return { path, file, disk, left };
}

async function readAll(disk: Disk, path: string, file: string): Promise<unknown[]> {
  return [
    await disk.readFile(file, "utf8"),
    await disk.readdir(path),
    (await disk.stat(file)).size,
    (await disk.stat(file, { bigint: true })).size,
  ];
}

const READ = ["0123456789", ["file"], 10, 10n];

test("small reads on a local file system need no other thread", async () => {
  const { path, file, disk, left } = await noted(EXT4);
  expect(await readAll(disk, path, file)).toEqual(READ);
  const read = await disk.readNow?.(file, (size) => [
    { offset: size - 4, length: 4 },
    { offset: 8, length: 10 },
  ]);
  expect(read?.size).toBe(10);
  expect(read?.parts.map(String)).toEqual(["6789", "89"]);
  expect(left).toEqual([]);
});

test.each([
  ["a network file system", NFS],
  ["a file system whose type cannot be read", new Error("ENOSYS")],
  ["a file system of unknown type", undefined],
])("on %s, every read goes to the thread pool", async (_, kind) => {
  const { path, file, disk, left } = await noted(kind);
  expect(await readAll(disk, path, file)).toEqual(READ);
  expect(disk.readNow?.(file, () => [])).toBeUndefined();
  expect(left).toEqual(["readFile", "readdir", "stat", "stat"]);
});

test("after a slow call, all calls go to the thread pool for 19 times as long", async () => {
  let [nowMs, tookMs] = [0, 0];
  const clock = { monotonicMs: () => (nowMs += tookMs) };
  const { file, disk, left } = await noted(EXT4, clock);
  tookMs = 10;
  await disk.stat(file);
  tookMs = 0;
  expect(left).toEqual([]);
  nowMs += 189;
  await disk.stat(file);
  expect(left).toEqual(["stat"]);
  nowMs += 1;
  await disk.stat(file);
  expect(left).toEqual(["stat"]);
});

test("one in 33 calls in a row goes to the thread pool, so that other work proceeds", async () => {
  const { file, disk, left } = await noted(EXT4);
  const turned = new AbortController();
  setImmediate(() => turned.abort());
  for (let call = 0; call < 1_000 && !turned.signal.aborted; call++) await disk.stat(file);
  expect(turned.signal.aborted).toBe(true);
  expect(left.length).toBeGreaterThan(0);
  left.length = 0;
  for (let call = 0; call < 330; call++) await disk.stat(file);
  expect(left).toEqual(Array.from({ length: 10 }, () => "stat"));
});

test("large reads go to the thread pool", async () => {
  const { path, disk, left } = await noted(EXT4);
  const file = join(path, "large");
  await writeFile(file, Buffer.alloc(64 * 1024 + 1));
  expect((await disk.readFile(file)).length).toBe(64 * 1024 + 1);
  expect(left).toEqual(["readFile"]);
  expect(disk.readNow?.(file, (size) => [{ offset: 0, length: size }])).toBeUndefined();
  expect((await disk.readNow?.(file, () => [{ offset: 5, length: 7 }]))?.parts.map(({ length }) => length)).toEqual([
    7,
  ]);
});

describe("calls fail like those of the thread pool", () => {
  test("when the file is missing", async () => {
    const { path, disk, left } = await noted(EXT4);
    const absent = join(path, "absent");
    for (const call of [
      disk.stat(absent),
      disk.readFile(absent),
      disk.readdir(absent),
      disk.readNow?.(absent, () => []),
    ]) {
      await expect(call).rejects.toMatchObject({ code: "ENOENT", path: absent });
    }
    expect(left).toEqual([]);
  });

  test("when a folder is in its place", async () => {
    const { path, disk } = await noted(EXT4);
    const folder = join(path, "folder");
    await mkdir(folder);
    await expect(disk.readFile(folder)).rejects.toMatchObject({ code: "EISDIR" });
    expect(disk.readNow?.(folder, () => [])).toBeUndefined();
  });
});
