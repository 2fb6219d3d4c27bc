/** `syncline completion`: shell scripts that complete commands, options and their values. */
import { command } from "../command.ts";
import { SynclineError } from "../../base/errors.ts";
import type { CommandFacts, OptionFacts } from "../command-tree.ts";

export const register = command({
  name: "completion",
  arguments: [["<shell>", "bash, zsh or fish"]],
  summary: "print a shell completion script",
  examples: [
    "syncline completion bash > ~/.local/share/bash-completion/completions/syncline",
    'syncline completion zsh > "${fpath[1]}/_syncline"',
    "syncline completion fish > ~/.config/fish/completions/syncline.fish",
  ],
  async run({ args, output, runtime }) {
    const [shell = ""] = args;
    const script = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined;
    if (script === undefined) {
      throw new SynclineError("usage", `There is no completion for ${JSON.stringify(shell)}.`, {
        hint: "Choose bash, zsh or fish.",
      });
    }
    const { allCommands } = await import("../command-tree.ts");
    const text = script(await allCommands(runtime));
    output.result({ shell, script: text }, text.trimEnd());
  },
});

const SHELLS: Readonly<Record<string, (commands: readonly CommandFacts[]) => string>> = { bash, zsh, fish };
const PATHS = new Set(["dir", "file"]);

function bash(commands: readonly CommandFacts[]): string {
  const steps = commands.flatMap(({ name, below }) => below.map((word) => quoted(`${name}/${word}`)));
  const words = commands.map(({ name, below, options }) => {
    return `    ${quoted(name)}) words=${quoted([...below, ...flags(options)].join(" "))} ;;`;
  });
  return `# Completion of syncline for bash.
_syncline() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command= word words=
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$command/$word" in
    ${steps.join(" | ")}) command="\${command:+$command }$word" ;;
    esac
  done
  case "$prev" in
${valueCases(commands)}
  esac
  case "$command" in
${words.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  if [[ $cur != -* && \${#COMPREPLY[@]} -eq 0 ]]; then COMPREPLY=($(compgen -f -- "$cur")); fi
}
complete -o filenames -F _syncline syncline
`;
}

function valueCases(commands: readonly CommandFacts[]): string {
  const lines = distinctOptions(commands).flatMap(({ long, value, choices }) => {
    if (choices.length > 0)
      return [`  ${long}) COMPREPLY=($(compgen -W ${quoted(choices.join(" "))} -- "$cur")); return ;;`];
    if (value === undefined) return [];
    return [PATHS.has(value) ? `  ${long}) COMPREPLY=($(compgen -f -- "$cur")); return ;;` : `  ${long}) return ;;`];
  });
  return lines.join("\n");
}

function zsh(commands: readonly CommandFacts[]): string {
  const cases = commands.map(({ name, below, options, arguments: words }) => {
    const specs = options.map(zshOption);
    if (below.length > 0 && words.length === 0)
      specs.push(quoted(`1:command:(${below.join(" ")})`), quoted("*::: :->below"));
    else specs.push(quoted("*: :_files"));
    return `    ${quoted(name)}) _arguments -s ${specs.join(" ")} ;;`;
  });
  const steps = commands.flatMap(({ name, below }) => below.map((word) => quoted(`${name}/${word}`)));
  return `#compdef syncline
# Completion of syncline for zsh.
_syncline() {
  local command= word
  local -i at=1 depth=0
  for word in "\${(@)words[2,CURRENT-1]}"; do
    (( at++ ))
    case "$command/$word" in
    ${steps.join(" | ")}) command="\${command:+$command }$word"; depth=at ;;
    esac
  done
  if (( depth > 0 )); then words=("$command" "\${(@)words[depth+1,-1]}"); (( CURRENT -= depth - 1 )); fi
  case "$command" in
${cases.join("\n")}
  esac
}
_syncline "$@"
`;
}

function zshOption({ long, short, value, choices, help }: OptionFacts): string {
  const text = help.replace(/[[\]:]/g, "\\$&");
  const takes = value === undefined ? "" : `:${value.replaceAll("|", " or ")}:${zshValues(value, choices)}`;
  const names = short === undefined ? long : `{${short},${long}}`;
  return `${names}${quoted(`[${text}]${takes}`)}`;
}

function zshValues(value: string, choices: readonly string[]): string {
  if (choices.length > 0) return `(${choices.join(" ")})`;
  return PATHS.has(value) ? "_files" : " ";
}

function fish(commands: readonly CommandFacts[]): string {
  const lines = commands.flatMap(({ name, below, options }) => {
    const when = `-n ${quoted(`__syncline_command_is ${quotedWithin(name)}`)}`;
    const children = below.map((word) => {
      const child = commands.find((each) => each.name === (name === "" ? word : `${name} ${word}`));
      return `complete -c syncline ${when} -f -a ${word} -d ${quoted(child?.summary ?? "")}`;
    });
    const own = name === "" ? [] : options.map((option) => `complete -c syncline ${when} ${fishOption(option)}`);
    return [...children, ...own];
  });
  const steps = commands.flatMap(({ name, below }) => below.map((word) => quoted(`${name}/${word}`)));
  return `# Completion of syncline for fish.
function __syncline_command_is
    set -l command ""
    for word in (commandline -opc)[2..-1]
        if contains -- "$command/$word" ${steps.join(" ")}
            set command (string trim -- "$command $word")
        end
    end
    test "$command" = "$argv[1]"
end
${lines.join("\n")}
`;
}

function fishOption({ long, short, value, choices, help }: OptionFacts): string {
  const parts = [`-l ${long.slice(2)}`];
  if (short !== undefined) parts.push(`-s ${short.slice(1)}`);
  if (value !== undefined) parts.push(PATHS.has(value) ? "-r -F" : "-x");
  if (choices.length > 0) parts.push(`-a ${quoted(choices.join(" "))}`);
  return [...parts, `-d ${quoted(help)}`].join(" ");
}

function flags(options: readonly OptionFacts[]): string[] {
  return options.flatMap(({ short, long }) => (short === undefined ? [long] : [short, long]));
}

function distinctOptions(commands: readonly CommandFacts[]): OptionFacts[] {
  const all = new Map(commands.flatMap(({ options }) => options).map((option) => [option.long, option]));
  return [...all.values()].toSorted((a, b) => (a.long < b.long ? -1 : 1));
}

/** Quotes text as one word in all three shells. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function quotedWithin(text: string): string {
  return `"${text}"`;
}
