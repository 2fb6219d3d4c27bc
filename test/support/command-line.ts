/** Runs the commands in this process, on a workspace: starting processes would take most of a test's time. */
import { commandsFor } from "../../src/cli/commands.ts";
import { runCommandLine } from "../../src/cli/program.ts";
import { createFakeRuntime } from "./fake-runtime.ts";
import type { Workspace } from "./syncline.ts";

/** Runs a command that must succeed; returns its output. */
export async function runCommand(space: Workspace, ...args: string[]): Promise<string> {
  const { SYNCLINE_KEY, ...env } = space.env;
  const runtime = createFakeRuntime(env, SYNCLINE_KEY === undefined ? {} : { environmentKey: SYNCLINE_KEY });
  const status = await runCommandLine(args, runtime, await commandsFor(args), "1.2.3");
  if (status !== 0) throw new Error(`${args.join(" ")} ended with ${status}: ${runtime.err()}`);
  return runtime.out();
}

/** As `runCommand` with --json: returns the values printed. */
export async function commandLines(space: Workspace, ...args: string[]): Promise<Record<string, unknown>[]> {
  const printed = await runCommand(space, ...args, "--json");
  const lines = printed.split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}
