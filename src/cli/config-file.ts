/** The user's configuration: `$XDG_CONFIG_HOME/syncline/config.toml`. Keys are option names; it holds no secrets. */
import { join } from "node:path";
import { xdgFolder } from "../agent/state/state-dir.ts";
import { SynclineError } from "../base/errors.ts";
import type { StartFiles } from "./start-files.ts";

/** Values as TOML has them; tables are not used. */
export type ConfigValues = ReadonlyMap<string, string | number | boolean>;

/** The folder of configuration and key. */
export function configFolder(env: NodeJS.ProcessEnv): string {
  return join(xdgFolder(env, "CONFIG", ".config"), "syncline");
}

/** What is wrong with one option of the file; undefined if nothing. */
export type CheckOption = (key: string, value: unknown) => string | undefined;

/**
 * Reads the file; a missing file counts as empty. Throws `config_invalid`, or for several wrong lines an AggregateError
 * with one such error for each, in order. In a text that was kept, wrong lines do not count: another version took them.
 */
export async function readConfigFile(files: StartFiles, path: string, check: CheckOption): Promise<ConfigValues> {
  const text = readIfThere(files, path);
  if (text === undefined) return new Map();
  const given = Object.entries(await parseToml(path, text));
  const values = files.areKept ? given.filter(([key, value]) => check(key, value) === undefined) : given;
  const problems = values.flatMap(([key, value]) => {
    const what = check(key, value);
    return what === undefined ? [] : [{ line: lineOf(text, key), what }];
  });
  const errors = problems.toSorted((a, b) => a.line - b.line).map(({ line, what }) => invalid(`${path}:${line}`, what));
  if (errors.length > 1) throw new AggregateError(errors, `${path} has ${errors.length} invalid lines.`);
  for (const error of errors) throw error;
  return new Map(values as [string, string | number | boolean][]);
}

function readIfThere(files: StartFiles, path: string): string | undefined {
  try {
    return files.read(path);
  } catch (cause) {
    throw invalid(path, "the file cannot be read", cause);
  }
}

async function parseToml(path: string, text: string): Promise<Record<string, unknown>> {
  // Most users have no such file.
  const { parse, TomlError } = await import("smol-toml");
  try {
    return parse(text);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    // After its first line, the message quotes the file.
    const [what = ""] = cause.message.split("\n", 1);
    throw invalid(`${path}:${cause.line}`, what.charAt(0).toLowerCase() + what.slice(1), cause);
  }
}

/** The line of a key or table, counted from 1. Answers 1 for a key that it cannot find, such as in a dotted name. */
function lineOf(text: string, key: string): number {
  const index = text.split("\n").findIndex((line) => {
    const [, name] = /^\s*\[*\s*["']?([^"'\s=.\]]+)/.exec(line) ?? [];
    return name === key;
  });
  return Math.max(index, 0) + 1;
}

function invalid(where: string, what: string, cause?: unknown): SynclineError {
  return new SynclineError("config_invalid", `${where}: ${what}.`, {
    hint: 'Each line sets an option of syncline --help without its dashes, such as: cache-size = "10 GiB"',
    cause,
  });
}
