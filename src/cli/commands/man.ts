/** `syncline man`: the manual page in man(7) format, made from the commands and the table of options. */
import { command } from "../command.ts";
import type { CommandFacts, OptionFacts } from "../command-tree.ts";
import { EXIT_MEANINGS } from "../exit-status.ts";
import { COMMON_OPTIONS, kebab } from "../options.ts";

export const register = command({
  name: "man",
  summary: "print the manual page",
  examples: ["syncline man | man -l -", "syncline man > ~/.local/share/man/man1/syncline.1"],
  async run({ output, runtime, version }) {
    const { allCommands } = await import("../command-tree.ts");
    const page = manualPage(await allCommands(runtime), version);
    output.result({ page }, page.trimEnd());
  },
});

function manualPage(commands: readonly CommandFacts[], version: string): string {
  const leaves = commands.filter(({ tail }) => tail !== "");
  const common = new Set(COMMON_OPTIONS.map((name) => `--${kebab(name)}`));
  const shared = leaves[0]?.options.filter(({ long }) => common.has(long)) ?? [];
  return `${[
    `.TH SYNCLINE 1 "" "syncline ${roff(version)}"`,
    ".SH NAME",
    "syncline \\- mount a bucket as a filesystem: many machines write it at once, online or off, and all converge",
    ".SH SYNOPSIS",
    ".B syncline",
    ".I command",
    "[arguments] [options]",
    ".SH COMMANDS",
    ...leaves.flatMap((command) => commandPart(command, common)),
    ".SH OPTIONS OF EVERY COMMAND",
    ...shared.flatMap(optionPart),
    ".SH EXIT STATUS",
    ...Object.entries(EXIT_MEANINGS).flatMap(([status, meaning]) => [".TP", `.B ${status}`, roff(meaning)]),
    ".SH FILES",
    ".TP",
    ".I $XDG_CONFIG_HOME/syncline/config.toml",
    "options under their long names, without the dashes",
    ".TP",
    ".I $XDG_CONFIG_HOME/syncline/key.json",
    "the wallet key",
    ".TP",
    ".I $XDG_STATE_HOME/syncline",
    "what agents keep: changes that are not published yet, caches, device keys",
  ].join("\n")}\n`;
}

function commandPart({ usage, summary, arguments: words, options, tail }: CommandFacts, common: ReadonlySet<string>) {
  const [examples = ""] = tail.split("\n\nExit statuses:");
  return [
    `.SS "${roff(usage).replaceAll('"', '""')}"`,
    roff(`${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`),
    ...words.flatMap(({ name, help }) => [".TP", `.I ${roff(name)}`, roff(help)]),
    ...options.filter(({ long }) => !common.has(long)).flatMap(optionPart),
    ".PP",
    ".nf",
    ...examples.split("\n").slice(1).map(roff),
    ".fi",
  ];
}

function optionPart({ long, short, value, help }: OptionFacts): string[] {
  const flags = [short, long].filter((flag) => flag !== undefined).join(", ");
  return [".TP", `.B ${roff(value === undefined ? flags : `${flags} <${value}>`)}`, roff(help)];
}

/** Escapes a line of text, so that it contains no requests and dashes stay dashes. */
function roff(text: string): string {
  const plain = text.replaceAll("\\", "\\e").replaceAll("-", "\\-");
  return /^[.']/.test(plain) ? `\\&${plain}` : plain;
}
