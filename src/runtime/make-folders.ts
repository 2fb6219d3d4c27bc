/**
 * Creates folders with their parents. Node.js's `recursive` does that, too, but loops forever where the system answers ENOENT
 * although the parent exists, as in /proc or in a working directory that was removed.
 */
import { mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { failedWith } from "../base/system-errors.ts";
import { orElse, unlessSync } from "../base/unless.ts";

/** Returns the topmost folder that it created; undefined if the folder exists already. All that it creates get `mode`. */
export function makeFolders(path: string, mode = 0o777): string | undefined {
  try {
    mkdirSync(path, { mode });
    return path;
  } catch (cause) {
    if (orElse(false, () => statSync(path).isDirectory())) return undefined;
    if (!failedWith(cause, "ENOENT") || dirname(resolve(path)) === resolve(path)) throw cause;
  }
  const first = makeFolders(dirname(resolve(path)), mode);
  unlessSync("EEXIST", () => mkdirSync(path, { mode }));
  return first ?? path;
}
