/** Reads a text file named by an option: certificates, keys. */
import { readFileSync } from "node:fs";
import { SynclineError } from "../../base/errors.ts";

/** Throws `config_invalid`. */
export function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new SynclineError("config_invalid", `Cannot read ${path}: ${String(cause)}`, {
      hint: "Check the path and its permissions.",
      cause,
    });
  }
}
