/** The user's configuration: `$XDG_CONFIG_HOME/syncline/config.toml`, option names as keys, secrets nowhere. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { homeFolder } from "../agent/state-dir.ts";
import { SynclineError } from "../base/errors.ts";
import { failedWith } from "../base/system-errors.ts";

/** A value as TOML spells it; tables are not used. */
export type ConfigValues = ReadonlyMap<string, string | number | boolean>;

/** The folder of configuration and key. */
export function configFolder(env: NodeJS.ProcessEnv): string {
  return join(env["XDG_CONFIG_HOME"] || join(homeFolder(), ".config"), "syncline");
}

/** Reads the file; no file is an empty one. `known` are the keys that it may hold. Throws `config_invalid`. */
export async function readConfigFile(path: string, known: ReadonlySet<string>): Promise<ConfigValues> {
  const text = readIfThere(path);
  const values = new Map<string, string | number | boolean>();
  for (const [key, value] of Object.entries(text === undefined ? {} : await parseToml(path, text))) {
    if (!known.has(key)) throw invalid(path, `it has no option ${JSON.stringify(key)}`);
    if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") {
      throw invalid(path, `${key} is no text, number or boolean`);
    }
    values.set(key, value);
  }
  return values;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    if (failedWith(cause, "ENOENT")) return undefined;
    throw invalid(path, "it cannot be read", cause);
  }
}

async function parseToml(path: string, text: string): Promise<Record<string, unknown>> {
  // Most have no such file.
  const { parse } = await import("smol-toml");
  try {
    return parse(text);
  } catch (cause) {
    throw invalid(path, cause instanceof Error ? cause.message : "it is not TOML", cause);
  }
}

function invalid(path: string, why: string, cause?: unknown): SynclineError {
  return new SynclineError("config_invalid", `${path} is not usable: ${why}.`, {
    hint: 'Each line is an option of syncline --help without its dashes, such as: cache-size = "10 GiB"',
    cause,
  });
}
