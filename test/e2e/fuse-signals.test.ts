/** Signals to programs that wait for a mount: a caught one changes nothing, a fatal one ends the program. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CompiledServer, eventually, type FuseProcess, python, run, whyNoMount } from "../support/fuse-process.ts";

const reason = whyNoMount();

/** The program that catches signals, as scripts/drills/signals.ts uses it on a bucket. */
const PROGRAM = resolve(import.meta.dirname, "../../scripts/drills/signals.py");
const ROUNDS = 50;

describe.skipIf(reason !== undefined)(`signals${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  let server: CompiledServer;
  beforeAll(async () => {
    server = await CompiledServer.compile();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test.each(["restart", "interrupt"])(
    "that are caught (%s) interrupt no call that waits for blocks, and no fsync",
    async (how) => {
      await using fuse = await server.mount({ attributeTimeoutS: 0, entryTimeoutS: 0, negativeTimeoutS: 0 });
      for (let round = 0; round < ROUNDS; round++) {
        await writeFile(fuse.path(`file-${round}`), "text");
        await mkdir(fuse.path(`directory-${round}`));
      }
      await fuse.tell({ do: "slow-down", ms: 5 });
      const printed = await run("python3", [PROGRAM, "calls", fuse.mountPoint, String(ROUNDS), how]);
      const { caught, failed } = JSON.parse(printed) as { caught: number; failed: object };
      expect(failed).toEqual({});
      expect(caught).toBeGreaterThan(ROUNDS);
    },
  );

  describe("that are fatal", () => {
    test.each(["SIGINT", "SIGTERM", "SIGKILL"] as const)("(%s) end a program that waits for blocks", async (signal) => {
      await using fuse = await server.mount();
      await writeFile(fuse.path("away"), "text");
      await withholdRoot(fuse);
      const program = await waiting(fuse, `os.stat("absent")`);
      const exit = once(program, "exit");
      program.kill(signal);
      expect(await exit).toEqual([null, signal]);
      await fuse.tell({ do: "release-blocks" });
      expect(await readFile(fuse.path("away"), "utf8")).toBe("text");
    });

    test("end a program that caught another signal before, while it waited", async () => {
      await using fuse = await server.mount();
      await withholdRoot(fuse);
      const program = await waiting(fuse, `os.stat("absent")`, "signal.signal(signal.SIGUSR1, lambda *_: None)");
      const exit = once(program, "exit");
      program.kill("SIGUSR1");
      // The kernel tells the mount of a thread's first signal, and lets it sleep on for all but fatal ones.
      await eventually(async () => expect(await stateOf(program)).toBe("D"));
      program.kill("SIGKILL");
      expect(await exit).toEqual([null, "SIGKILL"]);
    });

    test("end a program whose change waits for blocks, and nothing changes", async () => {
      await using fuse = await server.mount();
      await mkdir(fuse.path("kept"));
      await withholdRoot(fuse);
      const program = await waiting(fuse, `os.rmdir("kept")`);
      const exit = once(program, "exit");
      program.kill("SIGKILL");
      expect(await exit).toEqual([null, "SIGKILL"]);
      await fuse.tell({ do: "release-blocks" });
      expect(await python("print(os.listdir())", fuse.mountPoint)).toBe("['kept']\n");
    });

    test("end a program that hangs in fsync", async () => {
      await using fuse = await server.mount();
      await fuse.tell({ do: "withhold-syncs" });
      const program = await waiting(fuse, `os.fsync(os.open(".", os.O_RDONLY))`);
      const exit = once(program, "exit");
      program.kill("SIGINT");
      expect((await exit)[1]).toBe("SIGINT");
    });
  });
});

/** What lies in the root lacks blocks from now on; its own attributes the kernel has. */
async function withholdRoot(fuse: FuseProcess): Promise<void> {
  const { ino } = await stat(fuse.mountPoint);
  await fuse.tell({ do: "withhold-blocks", ino });
}

/** A Python program in the mount that sleeps in the kernel's FUSE code. SIGINT ends it as it ends most programs. */
async function waiting(fuse: FuseProcess, call: string, before = ""): Promise<ChildProcess> {
  // It does not start in the mount: starting there waits for blocks, too, and with it the test.
  const script = `import os, signal, sys\nos.chdir(sys.argv[1])\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\n${before}\n${call}`;
  const program = spawn("python3", ["-c", script, fuse.mountPoint], { stdio: "inherit" });
  await eventually(async () => expect(await readFile(`/proc/${program.pid}/stack`, "utf8")).toMatch(/fuse/));
  return program;
}

async function stateOf(program: ChildProcess): Promise<string | undefined> {
  return /^State:\s*(\w)/m.exec(await readFile(`/proc/${program.pid}/status`, "utf8"))?.[1];
}
