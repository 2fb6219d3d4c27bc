/** All commands with their options, as plain data, for completion scripts and the man page. */
import { Command, type Option } from "commander";
import { commandsFor } from "./commands.ts";
import type { Runtime } from "./runtime.ts";

export interface CommandFacts {
  /** "mount", "key", "key new". */
  readonly name: string;
  readonly summary: string;
  /** How to call it: "syncline key import <file> [options]". */
  readonly usage: string;
  readonly arguments: readonly { readonly name: string; readonly help: string }[];
  readonly options: readonly OptionFacts[];
  /** Names of its subcommands: for "key", "new" and others. */
  readonly below: readonly string[];
  /** Examples and exit statuses, as --help shows them. */
  readonly tail: string;
}

export interface OptionFacts {
  /** "--cache-size". */
  readonly long: string;
  readonly short: string | undefined;
  /** "dir", of "<dir>"; undefined for a switch. */
  readonly value: string | undefined;
  /** All allowed values, if they are few. */
  readonly choices: readonly string[];
  readonly help: string;
}

/** Groups before their subcommands, by name. The first is the program itself, with the name "". */
export async function allCommands(runtime: Runtime): Promise<CommandFacts[]> {
  const root = new Command("syncline");
  for (const register of await commandsFor([])) register({ root, runtime, status: 0 });
  return factsOf(root, "");
}

/** The options of a command outside any group. */
export async function optionsOf(name: string, runtime: Runtime): Promise<OptionFacts[]> {
  const root = new Command("syncline");
  for (const register of await commandsFor([name])) register({ root, runtime, status: 0 });
  return root.commands.flatMap((command) => command.options.map(optionFacts));
}

function factsOf(command: Command, name: string): CommandFacts[] {
  const children = command.commands.toSorted((a, b) => (a.name() < b.name() ? -1 : 1));
  const own: CommandFacts = {
    name,
    summary: command.description(),
    usage: `syncline ${name} ${command.usage()}`,
    arguments: command.registeredArguments.map((each) => ({ name: each.name(), help: each.description })),
    options: command.options.map(optionFacts),
    below: children.map((child) => child.name()),
    tail: tailOf(command),
  };
  return [own, ...children.flatMap((child) => factsOf(child, name === "" ? child.name() : `${name} ${child.name()}`))];
}

function optionFacts({ long, short, flags, description }: Option): OptionFacts {
  const value = /<([^>]*)>/.exec(flags)?.[1];
  const words = value?.split("|") ?? [];
  return {
    long: long ?? "",
    short: short ?? undefined,
    value,
    choices: words.length > 1 ? words : [],
    help: description,
  };
}

function tailOf(command: Command): string {
  let text = "";
  command.configureOutput({ writeOut: (part) => (text += part) }).outputHelp();
  const at = text.indexOf("\nExamples:");
  return at < 0 ? "" : text.slice(at + 1).trimEnd();
}
