#!/usr/bin/env node
/** The command line's entry: the process around the commands. */
import { readFileSync } from "node:fs";
import { commandsFor } from "./commands.ts";
import { runCommandLine } from "./program.ts";
import { processRuntime } from "./runtime.ts";

/** A reader that goes away (`syncline cat … | head`) ends the command as it ends others: by SIGPIPE's status. */
const SIGPIPE_STATUS = 141;

const packageFile = new URL("../../package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(packageFile, "utf8")) as { version: string };

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(SIGPIPE_STATUS);
  throw error;
});

const args = process.argv.slice(2);
process.exitCode = await runCommandLine(args, processRuntime(), await commandsFor(args), version);
