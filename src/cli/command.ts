/**
 * The frame of every command: from one description it makes parsing, options from all sources, help with examples and exit
 * statuses, and output. A command's file exports `register`.
 */
import { join } from "node:path";
import type { Command } from "commander";
import { SynclineError } from "../base/errors.ts";
import { configFolder, readConfigFile } from "./config-file.ts";
import { EXIT_MEANINGS, type ExitStatus } from "./exit-status.ts";
import { COMMON_OPTIONS, commanderOption, configProblem, kebab, resolveOptions } from "./options.ts";
import type { OptionName, Options } from "./options.ts";
import { createOutput, type Output, type OutputStyle } from "./terminal/output.ts";
import type { Runtime } from "./runtime.ts";

/** What commands register with. `status` is the exit status of the command that ran, `style` that of its output. */
export interface Program {
  readonly root: Command;
  readonly runtime: Runtime;
  status: ExitStatus;
  style?: OutputStyle;
}

export type CommonOption = (typeof COMMON_OPTIONS)[number];

export interface CommandSpec<Name extends OptionName> {
  /** "mount", or "key new" for a command in a group. */
  readonly name: string;
  /** In order: ["<url>", "what it is"]; "[…]" if optional, "<x...>" for several. */
  readonly arguments?: readonly (readonly [string, string])[];
  readonly summary: string;
  /** Besides the common ones. */
  readonly options?: readonly Name[];
  /** Those of `options` that must be given. */
  readonly required?: readonly Name[];
  readonly examples: readonly string[];
  /** Exit statuses of this command besides 0, 1 and 2. */
  readonly exits?: readonly ExitStatus[];
  /** With what to run again if reading the options, or `run`, failed. Undefined: the error ends the command. */
  readonly otherwise?: (runtime: Runtime, error: unknown) => Runtime | undefined;
  /** Import heavy modules in here, so that --help stays quick. Answers the exit status; nothing means 0. */
  run(call: Call<Name>): Promise<ExitStatus | void>;
}

/** One run of a command. */
export interface Call<Name extends OptionName = never> {
  /** Arguments in order, including each of "<x...>". */
  readonly args: readonly string[];
  readonly options: Pick<Options, Name | CommonOption>;
  readonly output: Output;
  readonly runtime: Runtime;
  readonly version: string;
}

/** Adds a command, or several, to the program. */
export type Register = (program: Program) => void;

/** The command of a module that has one. */
export function command<Name extends OptionName = never>(spec: CommandSpec<Name>): Register {
  return (program) => addCommand(program, spec);
}

export function addCommand<Name extends OptionName = never>(program: Program, spec: CommandSpec<Name>): void {
  const names = spec.name.split(" ");
  const parent = names.slice(0, -1).reduce(groupOf, program.root);
  const command = parent.command(names.at(-1) ?? spec.name).description(spec.summary);
  for (const [name, help] of spec.arguments ?? []) command.argument(name, help);
  for (const name of spec.options ?? []) command.addOption(commanderOption(name));
  for (const name of COMMON_OPTIONS) command.addOption(commanderOption(name));
  command.addHelpText("after", helpTail(spec.examples, spec.exits ?? []));
  const run = async (runtime: Runtime) => {
    const options = await readOptions(runtime, [...COMMON_OPTIONS, ...(spec.options ?? [])], command.optsWithGlobals());
    program.style = { json: options.json ?? false, verbose: options.verbose ?? false };
    for (const name of spec.required ?? []) requireOption(spec.name, name, options[name]);
    const version = program.root.version() ?? "";
    const output = createOutput(runtime, program.style);
    program.status = (await spec.run({ args: command.args, options, output, runtime, version })) ?? 0;
  };
  command.action(async () => {
    try {
      await run(program.runtime);
    } catch (error) {
      const other = spec.otherwise?.(program.runtime, error);
      if (other === undefined) throw error;
      await run(other);
    }
  });
}

/** Examples and exit statuses, below the options in help. */
export function helpTail(examples: readonly string[], exits: readonly ExitStatus[]): string {
  const statuses = ([0, 1, 2, ...exits] as const).toSorted((a, b) => a - b);
  const lines = ["", "Examples:", ...examples.map((example) => `  $ ${example}`), "", "Exit statuses:"];
  return [...lines, ...statuses.map((status) => `  ${status}  ${EXIT_MEANINGS[status]}`)].join("\n");
}

/** The options from flags, the environment and the configuration file. Throws `usage`, `config_invalid`. */
export async function readOptions<Name extends OptionName>(
  runtime: Runtime,
  names: readonly Name[],
  flags: Readonly<Record<string, unknown>>,
): Promise<Pick<Options, Name>> {
  const folder = configFolder(runtime.env);
  const file = await readConfigFile(runtime.files, join(folder, "config.toml"), configProblem);
  return resolveOptions(names, { flags, env: runtime.env, file, folder });
}

/** What help says about commands that only group others. */
const GROUPS: Readonly<Record<string, string>> = {
  conflicts: "versions that lost a conflict in a merge: list, compare, resolve",
  key: "the wallet key of this user",
  migrate: "the tables that several masters share in PostgreSQL",
  service: "systemd services for mounts, synced folders and WebDAV servers; mount(8) and fstab",
  policy: "a bucket's rules for merging changes and thinning history",
};

function requireOption(command: string, name: OptionName, value: unknown): void {
  if (value !== undefined) return;
  throw new SynclineError("usage", `--${kebab(name)} is required.`, { hint: `See syncline ${command} --help.` });
}

function groupOf(parent: Command, name: string): Command {
  return (
    parent.commands.find((command) => command.name() === name) ?? parent.command(name).description(GROUPS[name] ?? "")
  );
}
