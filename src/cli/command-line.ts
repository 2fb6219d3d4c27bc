/** Runs the commands in this process. */
import { createRequire } from "node:module";
import { NEXT_PROGRAM } from "../runtime/next-program.ts";
import { commandsFor } from "./commands.ts";
import { exitStatusOf } from "./exit-status.ts";
import { createOutput } from "./terminal/output.ts";
import { MOUNT_HELPER, runMountHelper } from "./mount-helper.ts";
import { runCommandLine, styleOf } from "./program.ts";
import { processRuntime } from "./runtime.ts";

/** If the reader goes away (`syncline cat … | head`), the command ends with SIGPIPE's status, as others do. */
const SIGPIPE_STATUS = 141;

const { version } = createRequire(import.meta.url)("#package") as { version: string };

const args = process.argv.slice(2);
const runtime = processRuntime();

runtime.stdout.on("error", async (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(SIGPIPE_STATUS);
  createOutput(runtime, await styleOf(args, runtime)).error(error);
  process.exit(exitStatusOf(error));
});
// If stderr is gone, only the exit status reports errors.
process.stderr.on("error", () => {});

if (args[0] === MOUNT_HELPER) process.exitCode = await runMountHelper(args.slice(1), runtime, version);
else if (args[0] === NEXT_PROGRAM) process.exitCode = (await import("./next-program.ts")).tellFormats(runtime);
else process.exitCode = await runCommandLine(args, runtime, await commandsFor(args), version);
