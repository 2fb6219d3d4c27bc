/** Reads a text file named by an option: certificates, keys. */
import { SynclineError } from "../../base/errors.ts";
import { StartFiles } from "../start-files.ts";

/** Throws `config_invalid`. */
export function textOf(path: string, files = new StartFiles()): string {
  const hint = "Check the path and its permissions.";
  let text: string | undefined;
  try {
    text = files.read(path);
  } catch (cause) {
    throw new SynclineError("config_invalid", `Cannot read ${path}: ${String(cause)}`, { hint, cause });
  }
  if (text !== undefined) return text;
  throw new SynclineError("config_invalid", `There is no file ${path}.`, { hint });
}
