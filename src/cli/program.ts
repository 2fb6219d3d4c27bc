/** Runs one command line: parses it, runs the command, and turns the result into output and an exit status. */
import { Command, CommanderError } from "commander";
import { SynclineError } from "../base/errors.ts";
import { failureOf } from "../base/failure.ts";
import { type Program, readOptions, type Register } from "./command.ts";
import { type ExitStatus, exitStatusOf } from "./exit-status.ts";
import { COMMON_OPTIONS, commanderOption, resolveOptions } from "./options.ts";
import { createOutput, type OutputStyle } from "./terminal/output.ts";
import type { Runtime } from "./runtime.ts";

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
    const shown = error instanceof CommanderError ? usageError(error, program.root, args) : endOf(error);
    createOutput(runtime, program.style ?? (await styleOf(args, runtime))).error(shown);
    return exitStatusOf(shown);
  }
}

/** The style of output for errors before a command has its options. A source that is invalid does not count. */
export async function styleOf(args: readonly string[], runtime: Runtime): Promise<OutputStyle> {
  const names = ["json", "verbose"] as const;
  const given = (...flags: string[]) => (flags.some((flag) => args.includes(flag)) ? true : undefined);
  const flags = { json: given("--json"), verbose: given("-v", "--verbose") };
  const noFile = { file: new Map(), folder: "" };
  const sources = [
    () => readOptions(runtime, names, flags),
    () => resolveOptions(names, { flags, env: runtime.env, ...noFile }),
    () => resolveOptions(names, { flags, env: {}, ...noFile }),
  ];
  for (const read of sources) {
    try {
      const { json = false, verbose = false } = await read();
      return { json, verbose };
    } catch {}
  }
  return { json: false, verbose: false };
}

function createProgram(runtime: Runtime, commands: readonly Register[], version: string): Program {
  const root = new Command("syncline")
    .description(
      "Mount a bucket as a filesystem: many machines write to it at once, online or offline, and all converge.",
    )
    .version(version, "--version")
    .exitOverride()
    .configureOutput({ writeOut: (text) => void runtime.stdout.write(text), writeErr: () => {}, outputError: () => {} })
    .configureHelp({ showGlobalOptions: false })
    .addHelpText("after", "\nFor a command's examples and exit statuses: syncline COMMAND --help");
  for (const name of COMMON_OPTIONS) root.addOption(commanderOption(name));
  const program: Program = { root, runtime, status: 0 };
  for (const register of commands) register(program);
  return program;
}

/** An error of ours with the code that a command ends with. Others are returned as they are. */
function endOf(error: unknown): unknown {
  const { code, ending, message, hint, cause } = failureOf(error);
  return ending === code ? error : new SynclineError(ending, message, { hint, cause });
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
