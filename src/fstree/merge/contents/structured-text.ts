/** Whether merged lines fit the format that the name tells: they parse, and repeat no key that both sides have once. */
import type { FileName } from "../../../base/ids.ts";
import { repeatedJsonKeys } from "./json-keys.ts";
import { KeyPaths, repeatsMore } from "./repeated-keys.ts";
import type { RepeatedKeys } from "./repeated-keys.ts";
import { repeatedYamlKeys } from "./yaml-keys.ts";

/** Each name of the file may tell its format; unknown names tell nothing. */
export async function isSound(
  names: readonly FileName[],
  merged: string,
  winner: string,
  loser: string,
): Promise<boolean> {
  const endings = new Set(names.map((name) => name.toLowerCase().replace(/^.*\./s, "")));
  if (endings.has("json") && hasNewRepeats(jsonKeys, merged, winner, loser)) return false;
  if ((endings.has("yaml") || endings.has("yml")) && hasNewRepeats(repeatedYamlKeys, merged, winner, loser))
    return false;
  return !endings.has("toml") || parsesAsToml(merged);
}

/** Undefined: not a text of this format, or undecidable. */
type FindRepeats = (text: string, paths: KeyPaths) => RepeatedKeys | undefined;

/** Also true when undecidable. */
function hasNewRepeats(find: FindRepeats, merged: string, winner: string, loser: string): boolean {
  const paths = new KeyPaths();
  const repeated = find(merged, paths);
  if (repeated === undefined) return true;
  if (repeated.size === 0) return false;
  return repeatsMore(repeated, find(winner, paths) ?? NONE, find(loser, paths) ?? NONE);
}

const NONE: RepeatedKeys = new Map();

function jsonKeys(text: string, paths: KeyPaths): RepeatedKeys | undefined {
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  return repeatedJsonKeys(text, paths);
}

/** TOML itself rejects a duplicate key. */
async function parsesAsToml(text: string): Promise<boolean> {
  const { parse } = await import("smol-toml");
  try {
    parse(text, { integersAsBigInt: "asNeeded" });
    return true;
  } catch {
    return false;
  }
}
