#!/usr/bin/env node
/**
 * The program's entry. Checks the version of Node.js before importing anything else of ours: an older Node.js would fail to
 * load the rest with an unhelpful message.
 */
import { join } from "node:path";
import { keepCompiledCode } from "../runtime/compiled-code.ts";
import { HANDOFF } from "../runtime/handoff.ts";
import { nodeProblem } from "../runtime/node-version.ts";

const problem = nodeProblem(process.versions);
if (problem === undefined) {
  keepCompiledCode(join(import.meta.dirname, "compiled"));
  // Programs wait for an agent that takes over.
  if (process.env[HANDOFF] !== undefined) (await import("../agent/threads/filesystem-worker.ts")).startEarly();
  await import("./command-line.ts");
} else {
  const { message, hint } = problem;
  const asJson = process.argv.includes("--json");
  process.stderr.write(asJson ? `${JSON.stringify(problem)}\n` : `syncline: ${message}\n  ${hint}\n`);
  process.exitCode = 1;
}
