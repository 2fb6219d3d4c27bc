#!/usr/bin/env node
/**
 * The program's entry. It imports nothing of ours before it has looked at Node.js: an older one could not even load the rest, and would
 * say so in words that help nobody.
 */
import { nodeProblem } from "../base/node-version.ts";

const problem = nodeProblem(process.versions);
if (problem === undefined) {
  await import("./command-line.ts");
} else {
  const { message, hint } = problem;
  const asJson = process.argv.includes("--json");
  process.stderr.write(asJson ? `${JSON.stringify(problem)}\n` : `syncline: ${message}\n  ${hint}\n`);
  process.exitCode = 1;
}
