/** A program that asks one thing after another keeps the serving thread awake, and others have their turns all the same. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CompiledServer, whyNoMount } from "../support/fuse-process.ts";

const reason = whyNoMount();

/** Looks up names that nobody knows, each once, until that fails in another way; says when it is well under way. */
const ASK_WITHOUT_PAUSE = `import errno, os
asked = 0
try:
    while True:
        try:
            os.stat(f"absent-{asked}")
        except FileNotFoundError:
            asked += 1
        if asked == 2000: print("asking", flush=True)
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)`;

describe.skipIf(reason !== undefined)(`a busy mount${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  let server: CompiledServer;
  beforeAll(async () => {
    server = await CompiledServer.compile();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  // Awake as usual; so long that the program's own pauses hardly end it; never.
  test.each([{}, { spinUs: 1_000 }, { spinUs: 0 }])(
    "answers other calls and can be closed while a program sends calls without pause: %o",
    async (options) => {
      await using fuse = await server.mount(options);
      const program = spawn("python3", ["-c", ASK_WITHOUT_PAUSE], { cwd: fuse.mountPoint });
      const exited = once(program, "exit");
      let said = "";
      const asking = new Promise<void>((resolve) => {
        program.stdout.setEncoding("utf8").on("data", (text: string) => {
          said += text;
          resolve();
        });
      });
      try {
        await asking;
        for (let times = 0; times < 20; times++) expect(await fuse.tell({ do: "orphans" })).toBe(0);
        await fuse.tell({ do: "close" });
        await exited;
        expect(said).toBe("asking\nENOTCONN\n");
      } finally {
        program.kill("SIGKILL");
      }
    },
  );
});
