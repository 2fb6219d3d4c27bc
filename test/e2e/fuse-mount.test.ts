/** A mount's life: how it begins and ends, what the kernel is told, and that no request is left unanswered. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, open, readFile, readdir, rename, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { FileName, Ino } from "../../src/base/ids.ts";
import { readMountTable } from "../../src/fuse/mount-table.ts";
import { CompiledServer, eventually, type FuseProcess, python, run, whyNoMount } from "../support/fuse-process.ts";

const reason = whyNoMount();
const ROOT = 1 as Ino;

describe.skipIf(reason !== undefined)(`a mount${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  let server: CompiledServer;

  beforeAll(async () => {
    server = await CompiledServer.compile();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  describe("starting and ending", () => {
    test("the mount is nosuid, nodev, of type fuse.syncline, with the bucket's address as its source", async () => {
      await using fuse = await server.mount({ source: "file:///srv/a bucket" });
      const line = (await run("findmnt", ["-no", "FSTYPE,SOURCE,OPTIONS", fuse.mountPoint])).trim();
      expect(line).toMatch(/^fuse\.syncline +file:\/\/\/srv\/a bucket +rw,nosuid,nodev,/);
    });

    test("anyone's umount ends the mount, and the server hears of it", async () => {
      await using fuse = await server.mount();
      await run("umount", [fuse.mountPoint]);
      expect(await fuse.ended).toBe("unmounted");
      expect(await fuse.exited).toBe(0);
    });

    test("unmount refuses while a file is open; once detached, the file works until it is closed", async () => {
      await using fuse = await server.mount();
      const file = await open(fuse.path("open"), "w+");
      expect(await fuse.tell({ do: "unmount" })).toBe("busy");
      await fuse.tell({ do: "detach" });
      expect((await readMountTable()).map((mount) => mount.mountPoint)).not.toContain(fuse.mountPoint);
      await file.write("still served");
      expect((await file.read({ position: 0, buffer: Buffer.alloc(5) })).buffer.toString()).toBe("still");
      await file.close();
      expect(await fuse.ended).toBe("unmounted");
    });

    test("unmount refuses while a file is open, also after a folder above the mount was renamed", async () => {
      const above = await mkdtemp(join(tmpdir(), "syncline-above-"));
      await mkdir(join(above, "old/mount"), { recursive: true });
      await using fuse = await server.mountAt(join(above, "old/mount"));
      const file = await open(fuse.path("open"), "w+");
      await rename(join(above, "old"), join(above, "new"));
      expect(await fuse.tell({ do: "unmount" })).toBe("busy");
      await file.write("served");
      await file.close();
      expect(await fuse.tell({ do: "unmount" })).toBe("unmounted");
      expect(await fuse.ended).toBe("unmounted");
      await rm(above, { recursive: true });
    });

    test("unmount refuses while another mount covers this one", async () => {
      await using fuse = await server.mount();
      await run("mount", ["-t", "tmpfs", "another", fuse.mountPoint]);
      expect(await fuse.tell({ do: "unmount" })).toBe("busy");
      await run("umount", [fuse.mountPoint]);
      expect(await fuse.tell({ do: "unmount" })).toBe("unmounted");
    });

    test("an unmount that overtakes pending releases is not reported as an abort", async () => {
      const ends = new Set<string>();
      for (let round = 0; round < 8; round++) {
        await using fuse = await server.mount();
        // At its end all files are closed, and the last of them ends the mount while the others' requests are being read.
        const script = `os.chdir("${fuse.mountPoint}")
kept = [os.open(f"{i}", os.O_CREAT | os.O_RDWR) for i in range(500)]
os.chdir("/")
check(libc.umount2(b"${fuse.mountPoint}", 2))`;
        await python(script, "/");
        ends.add(await fuse.ended);
      }
      expect([...ends]).toEqual(["unmounted"]);
    });

    test("an abort by an administrator is reported as an abort", async () => {
      await using fuse = await server.mount();
      const device = (await readMountTable()).find((mount) => mount.mountPoint === fuse.mountPoint)?.device;
      const connections = await mkdtemp(join(tmpdir(), "syncline-connections-"));
      await run("mount", ["-t", "fusectl", "fusectl", connections]);
      await writeFile(join(connections, device?.split(":")[1] ?? "", "abort"), "1");
      await run("umount", [connections]);
      await rmdir(connections);
      expect(await fuse.ended).toBe("aborted");
    });

    test("closing a mount that somebody else detached while in use leaves a newer mount there alone", async () => {
      await using below = await server.mount();
      await mkdir(below.path("point"));
      await using above = await server.mountAt(below.path("point"));
      const file = await open(above.path("open"), "w+");
      await run("umount", ["-l", above.mountPoint]);
      await run("mount", ["-t", "tmpfs", "another", above.mountPoint]);
      await above.tell({ do: "close" });
      expect(await above.ended).toBe("unmounted");
      await file.close();
      expect((await readMountTable()).findLast((mount) => mount.mountPoint === above.mountPoint)?.type).toBe("tmpfs");
      await run("umount", [above.mountPoint]);
    });

    test("closing the mount fails open files and leaves the directory as it was", async () => {
      await using fuse = await server.mount();
      const file = await open(fuse.path("open"), "w+");
      await fuse.tell({ do: "close" });
      await expect(file.write("x")).rejects.toMatchObject({ code: "ENOTCONN" });
      await file.close();
      expect(await readdir(fuse.mountPoint)).toEqual([]);
    });

    test("the next mount cleans up what a killed agent leaves behind", async () => {
      await using dead = await server.mount();
      dead.kill("SIGKILL");
      await dead.exited;
      // The abort may interrupt the call.
      await expect(stat(dead.mountPoint)).rejects.toMatchObject({
        code: expect.stringMatching(/^(ENOTCONN|ECONNABORTED)$/) as string,
      });
      await using alive = await server.mountAt(dead.mountPoint);
      await writeFile(alive.path("f"), "alive");
      const here = (await readMountTable()).filter((mount) => mount.mountPoint === alive.mountPoint);
      expect(here).toHaveLength(1);
    });

    test("an agent killed while its message to the kernel waits for a lock exits, and the call that holds the lock fails", async () => {
      await using fuse = await server.mount();
      await fuse.tell({ do: "die-in-make-directory" });
      const making = run("mkdir", [fuse.path("made")]);
      await expect(making).rejects.toThrow(/not connected|connection abort/i);
      await fuse.exited;
      await expect(stat(fuse.mountPoint)).rejects.toMatchObject({ code: "ENOTCONN" });
    });

    test("mounting on a live mount, a missing directory, a file or a directory that is not empty is refused", async () => {
      await using fuse = await server.mount();
      await expect(server.mountAt(fuse.mountPoint)).rejects.toThrow(/mount_busy/);
      await mkdir(fuse.path("full/inner"), { recursive: true });
      await expect(server.mountAt(fuse.path("full"))).rejects.toThrow(/mount_not_empty/);
      await expect(server.mountAt(fuse.path("missing"))).rejects.toThrow(/no_such_path/);
      await writeFile(fuse.path("file"), "");
      await expect(server.mountAt(fuse.path("file"))).rejects.toThrow(/not_a_directory/);
    });

    test("on a read-only mount the kernel refuses changes", async () => {
      await using fuse = await server.mount({ readOnly: true });
      await expect(writeFile(fuse.path("f"), "x")).rejects.toMatchObject({ code: "EROFS" });
    });
  });

  describe("and the kernel's caches", () => {
    let fuse: FuseProcess;
    beforeAll(async () => {
      fuse = await server.mount();
    });
    afterAll(() => fuse[Symbol.asyncDispose]());

    const text = (name: string) => readFile(fuse.path(name), "utf8");
    const change = async (how: "make" | "remove" | "write", name: string, text = "") =>
      (await fuse.tell({ do: "change", how, name, text })) as Ino;
    const invalidate = (entries: { parent: Ino; name: FileName; removed?: Ino }[], inodes: Ino[] = [], all = false) =>
      fuse.tell({ do: "invalidate", changes: { entries, inodes, all } });

    test("a new name shows up where the kernel had cached its absence, and in cached listings", async () => {
      await expect(stat(fuse.path("new"))).rejects.toMatchObject({ code: "ENOENT" });
      await readdir(fuse.mountPoint);
      await change("make", "new", "from afar");
      await expect(stat(fuse.path("new"))).rejects.toMatchObject({ code: "ENOENT" });
      await invalidate([{ parent: ROOT, name: "new" as FileName }]);
      await eventually(async () => {
        expect(await text("new")).toBe("from afar");
        expect(await readdir(fuse.mountPoint)).toContain("new");
      });
    });

    test("changed contents show up, even in a file that is open", async () => {
      await writeFile(fuse.path("changed"), "before");
      const file = await open(fuse.path("changed"));
      const read = async () => {
        const { bytesRead, buffer } = await file.read({ position: 0, buffer: Buffer.alloc(100) });
        return buffer.toString("utf8", 0, bytesRead);
      };
      expect(await read()).toBe("before");
      const ino = await change("write", "changed", "behind");
      expect(await read()).toBe("before");
      await invalidate([], [ino]);
      await eventually(async () => expect(await read()).toBe("behind"));
      await change("write", "changed", "longer than it was");
      await invalidate([], [ino]);
      await eventually(async () => {
        expect((await stat(fuse.path("changed"))).size).toBe(18);
        expect(await read()).toBe("longer than it was");
      });
      await file.close();
    });

    test("an append goes after what others appended, whatever file size the kernel has cached", async () => {
      const file = await open(fuse.path("appended"), "a");
      await file.write("1;");
      await change("write", "appended", "1;theirs;");
      await file.write("2;");
      await file.write("3;");
      await eventually(async () => expect(await text("appended")).toBe("1;theirs;2;3;"));
      await file.close();
    });

    test("a removed name disappears, and an open file has a link count of zero", async () => {
      await writeFile(fuse.path("doomed"), "");
      const file = await open(fuse.path("doomed"));
      const removed = await change("remove", "doomed");
      await invalidate([{ parent: ROOT, name: "doomed" as FileName, removed }]);
      await eventually(async () => {
        await expect(stat(fuse.path("doomed"))).rejects.toMatchObject({ code: "ENOENT" });
        expect((await file.stat()).nlink).toBe(0);
      });
      await file.close();
    });

    test("invalidating everything shows all changes", async () => {
      await writeFile(fuse.path("one"), "old");
      await mkdir(fuse.path("sub"));
      await writeFile(fuse.path("sub/inner"), "inner");
      const file = await open(fuse.path("one"));
      expect(await text("one")).toBe("old");
      await change("write", "one", "new");
      await change("make", "two", "2");
      await invalidate([], [], true);
      await eventually(async () => {
        expect(await text("one")).toBe("new");
        expect(await text("two")).toBe("2");
        expect(await readdir(fuse.mountPoint)).toContain("two");
        expect((await file.read({ position: 0, buffer: Buffer.alloc(3) })).buffer.toString()).toBe("new");
      });
      expect(await text("sub/inner")).toBe("inner");
      await file.close();
    });

    test("a file created meanwhile under a name that the kernel believes free is opened, not replaced", async () => {
      await expect(stat(fuse.path("raced"))).rejects.toMatchObject({ code: "ENOENT" });
      await change("make", "raced", "theirs");
      await expect(writeFile(fuse.path("raced"), "ours", { flag: "wx" })).rejects.toMatchObject({ code: "EEXIST" });
      await change("make", "raced-2", "theirs");
      await writeFile(fuse.path("raced-2"), " and ours", { flag: "a" });
      expect(await text("raced-2")).toBe("theirs and ours");
    });
  });

  describe("while blocks are missing", () => {
    let fuse: FuseProcess;
    let ino: number;
    beforeEach(async () => {
      fuse = await server.mount();
      await writeFile(fuse.path("away"), "text");
      // Elsewhere than beside it: a lookup that waits has the kernel hold up new names in the same directory.
      await mkdir(fuse.path("elsewhere"));
      ({ ino } = await stat(fuse.path("away")));
      return () => fuse[Symbol.asyncDispose]();
    });

    /** A program that reads the file, uncached; `started` once it is about to. */
    async function reader(): Promise<ChildProcess> {
      await run("sh", ["-c", "echo 3 > /proc/sys/vm/drop_caches"]);
      await fuse.tell({ do: "withhold-blocks", ino });
      const program = spawn("sh", ["-c", 'echo started; exec cat "$0"', fuse.path("away")], {
        stdio: ["ignore", "pipe", "ignore"],
      });
      if (program.stdout !== null) await once(program.stdout, "data");
      return program;
    }

    test("a call waits for them, and other calls are answered meanwhile", async () => {
      const program = await reader();
      const exit = once(program, "exit");
      await writeFile(fuse.path("elsewhere/other"), "here");
      expect(await readFile(fuse.path("elsewhere/other"), "utf8")).toBe("here");
      const output = program.stdout === null ? [] : once(program.stdout, "data");
      await fuse.tell({ do: "release-blocks" });
      expect(String((await output)[0])).toBe("text");
      expect(await exit).toEqual([0, null]);
    });

    test("a call that back-pressure holds up has changed nothing yet; others go on, and it can be interrupted", async () => {
      await fuse.tell({ do: "pause-changes" });
      const made = mkdir(fuse.path("elsewhere/made"));
      const killed = spawn("touch", [fuse.path("killed")]);
      expect(await readFile(fuse.path("away"), "utf8")).toBe("text");
      expect(await fuse.tell({ do: "inodes" })).toBe(3);
      const exit = once(killed, "exit");
      killed.kill();
      expect(await exit).toEqual([null, "SIGTERM"]);
      await fuse.tell({ do: "resume-changes" });
      await made;
      expect(await readdir(fuse.path("elsewhere"))).toEqual(["made"]);
      expect(await readdir(fuse.mountPoint)).not.toContain("killed");
    });

    test("a waiting write and a waiting setxattr keep their bytes, whatever arrives in between", async () => {
      await fuse.tell({ do: "withhold-blocks", ino });
      const waiting = python(
        `if os.fork() == 0:
    os.setxattr("away", "user.waits", b"v" * 5000)
    os._exit(0)
open("away", "ab").write(b"w" * 100_000)
os.wait()`,
        fuse.mountPoint,
      );
      for (let i = 0; i < 20; i++) await writeFile(fuse.path("elsewhere/other"), Buffer.alloc(300_000, i));
      await fuse.tell({ do: "release-blocks" });
      await waiting;
      const text = await readFile(fuse.path("away"), "latin1");
      expect(text).toBe(`text${"w".repeat(100_000)}`);
      expect(await python(`print(os.getxattr("away", "user.waits") == b"v" * 5000)`, fuse.mountPoint)).toBe("True\n");
    });

    test("a waiting program can be interrupted and killed", async () => {
      for (const signal of ["SIGINT", "SIGKILL"] as const) {
        const program = await reader();
        await waitsInKernel(program);
        const exit = once(program, "exit");
        program.kill(signal);
        expect(await exit).toEqual([null, signal]);
        await fuse.tell({ do: "release-blocks" });
        expect(await readFile(fuse.path("away"), "utf8")).toBe("text");
      }
    });

    test("an agent that is killed after invalidating a file that a program waits for still exits", async () => {
      const program = await reader();
      await waitsInKernel(program);
      await fuse.tell({
        do: "invalidate",
        changes: { entries: [{ parent: ROOT, name: "away" as FileName }], inodes: [ino as Ino], all: false },
      });
      const exit = once(program, "exit");
      fuse.kill("SIGKILL");
      await fuse.exited;
      expect((await exit)[0]).not.toBe(0);
    });

    test("closing the mount fails the waiting call", async () => {
      const program = await reader();
      const exit = once(program, "exit");
      await waitsInKernel(program);
      await fuse.tell({ do: "close" });
      expect((await exit)[0]).not.toBe(0);
    });
  });

  describe("when the journal cannot be written", () => {
    test("changes fail with the reason, reads go on, and changes work again once the journal can be written", async () => {
      await using fuse = await server.mount();
      await writeFile(fuse.path("f"), "before");
      await fuse.tell({ do: "fail-persist", how: "disk-full" });
      await expect(writeFile(fuse.path("new"), "x")).rejects.toMatchObject({ code: "ENOSPC" });
      await expect(writeFile(fuse.path("f"), "x", { flag: "a" })).rejects.toMatchObject({ code: "ENOSPC" });
      expect(await readFile(fuse.path("f"), "utf8")).toMatch(/^before/);
      await fuse.tell({ do: "fail-persist", how: "bug" });
      await expect(mkdir(fuse.path("d"))).rejects.toMatchObject({ code: "EIO" });
      expect(fuse.log).toContain("the journal cannot be written");
      await fuse.tell({ do: "fail-persist", how: "not" });
      await writeFile(fuse.path("later"), "fine");
      expect(await readFile(fuse.path("later"), "utf8")).toBe("fine");
    });
  });

  test("a program killed in the middle of its calls leaves a mount that works", async () => {
    await using fuse = await server.mount();
    for (let round = 0; round < 5; round++) {
      // Ends with its mount, whatever becomes of the test.
      const storm = spawn(
        "bash",
        ["-c", `echo started; while echo x > f$RANDOM; do cat f* > /dev/null; rm -f f*; done`],
        { cwd: fuse.mountPoint, stdio: ["ignore", "pipe", "ignore"], detached: true },
      );
      const exit = once(storm, "exit");
      const group = -(storm.pid ?? 0);
      try {
        await once(storm.stdout, "data");
        await python("for i in range(200): open('p', 'w').close()", fuse.mountPoint);
      } finally {
        process.kill(group, "SIGKILL");
      }
      await exit;
      // Its children are in the mount until they have ended, too: it would be busy.
      await eventually(async () => expect(() => process.kill(group, 0)).toThrow("ESRCH"));
    }
    await writeFile(fuse.path("after"), "answered");
    expect(await readFile(fuse.path("after"), "utf8")).toBe("answered");
    expect(await fuse.tell({ do: "unmount" })).toBe("unmounted");
  });
});

/** Waits until the program sleeps in the kernel's FUSE code. */
async function waitsInKernel(program: ChildProcess): Promise<void> {
  await eventually(async () => {
    expect(await readFile(`/proc/${program.pid}/stack`, "utf8")).toMatch(/fuse|folio_wait|filemap/);
  });
}
