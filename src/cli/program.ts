/** Runs one command line: parses it, runs the command, and turns the result into output and an exit status. */
import { Command, CommanderError } from "commander";
import { SynclineError } from "../base/errors.ts";
import type { Program } from "./command.ts";
import { exitStatusOf } from "./exit-status.ts";
import type { ExitStatus } from "./exit-status.ts";
import { COMMON_OPTIONS, commanderOption } from "./options.ts";
import { createOutput } from "./terminal/output.ts";
import type { Runtime } from "./runtime.ts";

export type Register = (program: Program) => void;

/** Runs `args` (without node and script) and answers the exit status. Never throws. */
export async function runCommandLine(
  args: readonly string[],
  runtime: Runtime,
  commands: readonly Register[],
  version: string,
): Promise<ExitStatus> {
  const program = createProgram(runtime, commands, version);
  try {
    await program.root.parseAsync(args, { from: "user" });
    return program.status;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    const json = args.includes("--json") || /^(true|1|yes|on)$/i.test(runtime.env["SYNCLINE_JSON"] ?? "");
    const verbose = args.includes("-v") || args.includes("--verbose");
    const shown = error instanceof CommanderError ? usageError(error, program.root, args) : error;
    createOutput(runtime, { json, verbose }).error(shown);
    return exitStatusOf(shown);
  }
}

function createProgram(runtime: Runtime, commands: readonly Register[], version: string): Program {
  const root = new Command("syncline")
    .description(
      "Mount a bucket as a filesystem: many machines write to it at once, online or offline, and all converge.",
    )
    .version(version, "--version")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void runtime.stdout.write(text),
      writeErr: () => {},
      outputError: () => {},
    })
    .configureHelp({ showGlobalOptions: false })
    .addHelpText("after", "\nFor a command's examples and exit statuses: syncline help COMMAND");
  for (const name of COMMON_OPTIONS) root.addOption(commanderOption(name));
  const program: Program = { root, runtime, status: 0 };
  for (const register of commands) register(program);
  return program;
}

function usageError(error: CommanderError, root: Command, args: readonly string[]): SynclineError {
  const message = error.code === "commander.help" ? withoutCommand(args) : sentence(error.message);
  return new SynclineError("usage", message, { hint: `See ${meantCommand(root, args)} --help.`, cause: error });
}

/** `help` with an unknown command ends as a missing command does. */
function withoutCommand([first, second]: readonly string[]): string {
  if (first === "help" && second !== undefined) return `Unknown command '${second}'.`;
  return "No command was given.";
}

/** The leading words that are commands: "syncline key import". */
function meantCommand(root: Command, args: readonly string[]): string {
  let command = root;
  const names = [root.name()];
  for (const word of args.filter((arg) => !arg.startsWith("-"))) {
    const next = command.commands.find((each) => each.name() === word);
    if (next === undefined) break;
    names.push(word);
    command = next;
  }
  return names.join(" ");
}

function sentence(message: string): string {
  const text = message
    .replace(/^error: /, "")
    .split("\n")
    .join(" ");
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?)]$/.test(text) ? "" : "."}`;
}
