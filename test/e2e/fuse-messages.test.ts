/** Messages to the kernel about objects that programs use: no other program may wait for them. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, mkdir, open, readFile, stat, writeFile } from "node:fs/promises";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { FileName, Ino } from "../../src/base/ids.ts";
import { CompiledServer, eventually, type FuseProcess, run, whyNoMount } from "../support/fuse-process.ts";

const reason = whyNoMount();
const ROOT = 1 as Ino;
const SOON_MS = 3_000;

describe.skipIf(reason !== undefined)(`messages${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  let server: CompiledServer;
  let fuse: FuseProcess;

  beforeAll(async () => {
    server = await CompiledServer.compile();
    return () => server[Symbol.asyncDispose]();
  });

  beforeEach(async () => {
    fuse = await server.mount();
    await writeFile(fuse.path("other"), "text");
    await writeFile(fuse.path("file"), "text");
    await mkdir(fuse.path("directory"));
    await mkdir(fuse.path("beside"));
    return () => fuse[Symbol.asyncDispose]();
  });

  const removal = (name: string, removed: number) => ({
    entries: [{ parent: ROOT, name: name as FileName, removed: removed as Ino }],
    inodes: [],
    all: false,
  });

  /** Whether programs reach other names of the directory, in another process, since the call may hang. */
  async function othersAreServed(): Promise<boolean> {
    // What the kernel has not cached.
    const names = ["other", `absent-${Math.random()}`].map((name) => fuse.path(name));
    const program = spawn("sh", ["-c", 'cat "$0"; test ! -e "$1"', ...names], { stdio: "ignore" });
    const ended = once(program, "exit").then(([status]) => status === 0);
    return Promise.race([ended, new Promise<false>((resolve) => setTimeout(resolve, SOON_MS, false))]);
  }

  /** A program that writes to the open file, and waits for room. */
  async function writer(file: FileHandle): Promise<ChildProcess> {
    await fuse.tell({ do: "pause-changes" });
    const program = spawn("sh", ["-c", "echo more >&3"], { stdio: ["ignore", "ignore", "ignore", file.fd] });
    await isHeldUp(program, /request_wait_answer[^]*fuse_perform_write/);
    return program;
  }

  /** Waits until the kernel's locks for this call of the program are held, and the server knows of the call. */
  async function isHeldUp(program: ChildProcess, call: RegExp): Promise<void> {
    await eventually(async () => expect(await readFile(`/proc/${program.pid}/stack`, "utf8")).toMatch(call));
    // The server gets this request after that of the program.
    await expect(stat(fuse.path("beside/absent"))).rejects.toThrow("ENOENT");
  }

  test("that a file was removed block nobody while a program writes to it, and it has a link count of zero then", async () => {
    const file = await open(fuse.path("file"), "a");
    const { ino } = await file.stat();
    const program = await writer(file);
    const exit = once(program, "exit");
    await fuse.tell({ do: "change", how: "remove", name: "file" });
    await fuse.tell({ do: "invalidate", changes: removal("file", ino) });
    const isServed = await othersAreServed();
    await fuse.tell({ do: "resume-changes" });
    expect([isServed, await exit]).toEqual([true, [0, null]]);
    await expect(stat(fuse.path("file"))).rejects.toThrow("ENOENT");
    await eventually(async () => expect((await file.stat()).nlink).toBe(0));
    await file.close();
  });

  test("that a directory was removed block nobody while a program lists it", async () => {
    const { ino } = await stat(fuse.path("directory"));
    await fuse.tell({ do: "withhold-blocks", ino });
    const program = spawn("ls", [fuse.path("directory")], { stdio: "ignore" });
    const exit = once(program, "exit");
    await isHeldUp(program, /request_wait_answer[^]*fuse_readdir/);
    await fuse.tell({ do: "invalidate", changes: removal("directory", ino) });
    const isServed = await othersAreServed();
    await fuse.tell({ do: "release-blocks" });
    expect([isServed, await exit]).toEqual([true, [0, null]]);
  });

  test("that wait behind others block nobody, although a program began to write to the removed file meanwhile", async () => {
    const file = await open(fuse.path("file"), "a");
    const { ino } = await file.stat();
    await fuse.tell({ do: "stall-messages", changes: removal("file", ino) });
    const made = run("mkdir", [fuse.path("made")]);
    await fuse.tell({ do: "stalled" });
    const program = await writer(file);
    const exit = once(program, "exit");
    await fuse.tell({ do: "release-blocks" });
    await made;
    const isServed = await othersAreServed();
    await fuse.tell({ do: "resume-changes" });
    expect([isServed, await exit]).toEqual([true, [0, null]]);
    await file.close();
  });
});
