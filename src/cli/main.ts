#!/usr/bin/env node
/** The command line's entry: the list of commands, and the process around them. */
import { readFileSync } from "node:fs";
import { register as registerCat } from "./cat.ts";
import { register as registerDoctor } from "./doctor.ts";
import { register as registerFlush } from "./flush.ts";
import { register as registerGet } from "./get.ts";
import { register as registerInit } from "./init.ts";
import { register as registerLog } from "./log.ts";
import { register as registerLs } from "./ls.ts";
import { register as registerMount } from "./mount.ts";
import { register as registerPut } from "./put.ts";
import { register as registerRestore } from "./restore.ts";
import { register as registerUnlock } from "./unlock.ts";
import { register as registerVerify } from "./verify.ts";
import { register as registerStatus } from "./status.ts";
import { register as registerUnmount } from "./unmount.ts";
import { register as registerKey } from "./key.ts";
import { runCommandLine } from "./program.ts";
import { processRuntime } from "./runtime.ts";
import { register as registerToken } from "./token.ts";

const COMMANDS = [
  registerCat,
  registerDoctor,
  registerFlush,
  registerGet,
  registerInit,
  registerKey,
  registerLog,
  registerLs,
  registerMount,
  registerPut,
  registerRestore,
  registerStatus,
  registerToken,
  registerUnlock,
  registerUnmount,
  registerVerify,
];

/** A reader that goes away (`syncline cat … | head`) ends the command as it ends others: by SIGPIPE's status. */
const SIGPIPE_STATUS = 141;

const packageFile = new URL("../../package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(packageFile, "utf8")) as { version: string };

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(SIGPIPE_STATUS);
  throw error;
});

process.exitCode = await runCommandLine(process.argv.slice(2), processRuntime(), COMMANDS, version);
