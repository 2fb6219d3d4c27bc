/**
 * Folders with all folders above them. Node.js has that, too (`recursive`), but never returns where a folder cannot be made
 * and the system calls it missing, as in /proc or in a current folder that was removed.
 */
import { mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { failedWith } from "../base/system-errors.ts";
import { orElse } from "../base/unless.ts";

/** Returns the first folder that was made; undefined: it is there already. `mode` is that of all that are made. */
export function makeFolders(path: string, mode = 0o777): string | undefined {
  const made = makeFolder(path, mode);
  if (made !== "no parent") return made;
  const first = makeFolders(dirname(resolve(path)), mode);
  if (makeFolder(path, mode) === "no parent") mkdirSync(path, { mode });
  return first ?? path;
}

function makeFolder(path: string, mode: number): string | undefined | "no parent" {
  try {
    mkdirSync(path, { mode });
    return path;
  } catch (cause) {
    if (orElse(false, () => statSync(path).isDirectory())) return undefined;
    if (failedWith(cause, "ENOENT") && dirname(resolve(path)) !== resolve(path)) return "no parent";
    throw cause;
  }
}
