/** The commands that the program registers, and their documentation in docs/reference/command-line.md. */
import { Command } from "commander";
import type { Program } from "../../src/cli/command.ts";
import { commandsFor } from "../../src/cli/commands.ts";
import { EXIT_MEANINGS } from "../../src/cli/exit-status.ts";
import { BUCKET_OPTIONS } from "../../src/cli/master-access.ts";
import { COMMON_OPTIONS, configKeys, envName, kebab, OPTIONS } from "../../src/cli/options.ts";
import type { OptionSpec } from "../../src/cli/option-kinds.ts";
import type { OptionName } from "../../src/cli/options.ts";
import { createFakeRuntime } from "./fake-runtime.ts";

/** A command with its full name, such as "key new". */
export interface NamedCommand {
  readonly name: string;
  readonly command: Command;
}

/** A fresh tree of all commands; `root` parses, but never prints or exits. */
export async function commandTree(): Promise<{ root: Command; leaves: NamedCommand[] }> {
  const root = new Command("syncline").exitOverride().configureOutput({ writeOut: () => {}, writeErr: () => {} });
  const program: Program = { root, runtime: createFakeRuntime({}), status: 0 };
  for (const register of await commandsFor([])) register(program);
  return { root, leaves: leavesOf(root, "").toSorted((a, b) => (a.name < b.name ? -1 : 1)) };
}

export interface HelpTail {
  readonly examples: readonly string[];
  readonly exits: readonly number[];
}

/** The part of a command's help below its options. */
export function tailOf({ command }: NamedCommand): HelpTail {
  let text = "";
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  const examples = [...text.matchAll(/^ {2}\$ (.*)$/gm)].map((match) => match[1] ?? "");
  const exits = [...(text.split("Exit statuses:")[1] ?? "").matchAll(/^ {2}(\d) {2}\S/gm)].map((match) =>
    Number(match[1]),
  );
  return { examples, exits };
}

/** Marked part of the page → its text according to the program. */
export async function pageParts(): Promise<ReadonlyMap<string, string>> {
  const { leaves } = await commandTree();
  return new Map([
    ["exit statuses", exitTable()],
    ["options", optionList()],
    ["commands", leaves.map(commandPart).join("\n\n")],
  ]);
}

/** Whether an argument is a bucket or in one. The page says once that such commands have a bucket's options. */
export function takesBucket({ command }: NamedCommand): boolean {
  return command.registeredArguments.some((each) => ["path", "url", "url|dir", "urls"].includes(each.name()));
}

/** The names of all its options, without dashes. */
export function optionsOf({ command }: NamedCommand): readonly string[] {
  return command.options.map(({ long }) => long?.slice(2) ?? "");
}

function leavesOf(command: Command, prefix: string): NamedCommand[] {
  return command.commands.flatMap((each) => {
    const name = `${prefix}${each.name()}`;
    // A command with subcommands may also run by itself.
    const own = each.commands.length === 0 || each.registeredArguments.length > 0 ? [{ name, command: each }] : [];
    return [...own, ...leavesOf(each, `${name} `)];
  });
}

function exitTable(): string {
  const rows = Object.entries(EXIT_MEANINGS).map(([status, meaning]) => `${status} | ${meaning}`);
  return ["status | means", "---|---", ...rows].join("\n");
}

function optionList(): string {
  const inFile = configKeys();
  const rows = (Object.keys(OPTIONS) as OptionName[]).map((name) => {
    const spec: OptionSpec<unknown> = OPTIONS[name];
    const flags = [spec.short, `--${kebab(name)}`].filter((flag) => flag !== undefined).join(", ");
    const value = spec.value === undefined ? "" : ` ${spec.value}`;
    const mark = inFile.has(kebab(name)) ? "°" : "";
    const env = spec.env === undefined ? "" : ` (\`${envName(name)}\`)`;
    const fallback = spec.fallbackText === undefined ? "" : ` (default ${spec.fallbackText})`;
    return `- \`${flags}${value}\`${mark}: ${spec.help}${env}${fallback}`;
  });
  return rows.join("\n");
}

/** Descriptions of arguments that the page gives once, above all commands. */
const SAID_ONCE = new Set([
  "the bucket",
  "where to create the bucket",
  "bucket/path",
  "bucket/path of a file",
  "bucket, or bucket/path",
  "a bucket, or where it is mounted",
  "a mount, a synced folder or a WebDAV address",
  "a mount, a synced folder or a WebDAV address; default: the only one",
  "bucket/path, or a path in a mount: the kept name, or a version that lost",
  "bucket/path, or a path in a mount: the kept name, or a version that lost; with --all-older-than: a bucket, a mount or a directory in it",
  "a bucket or a mount, or a directory in it",
  "files or directories in one mount",
  "pinned paths of one mount",
  "the name given to service install",
  "the password to revoke",
]);

/** Whether an example shows more than arguments and options, such as quotes or a pipe. Help has all, the page one at most. */
function saysMore(example: string): boolean {
  return /[|>"']| \w+=| -- /.test(example);
}

function commandPart(named: NamedCommand): string {
  const { name, command } = named;
  const { examples } = tailOf(named);
  const said = new Set([...COMMON_OPTIONS, ...(takesBucket(named) ? BUCKET_OPTIONS : [])].map(kebab));
  const own = optionsOf(named).filter((long) => !said.has(long));
  const usage = [
    name,
    ...command.registeredArguments.map((each) => (each.required ? `<${each.name()}>` : `[${each.name()}]`)),
  ];
  const description = command.description();
  const lines = [
    `### \`${usage.join(" ")}\``,
    "",
    `${description.charAt(0).toUpperCase()}${description.slice(1)}.`,
    "",
  ];
  const told = command.registeredArguments.filter(({ description }) => !SAID_ONCE.has(description));
  for (const argument of told) lines.push(`- \`${argument.name()}\`: ${argument.description}`);
  if (own.length > 0) lines.push(`- ${own.map((long) => `\`--${long}\``).join(", ")}`);
  if (lines.at(-1) !== "") lines.push("");
  const shown = examples.filter(saysMore).slice(0, 1);
  if (shown.length > 0) lines.push("```sh", ...shown, "```");
  else lines.pop();
  return lines.join("\n");
}
