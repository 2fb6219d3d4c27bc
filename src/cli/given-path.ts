/** Paths on this machine, as the command line gives them. */
import { existsSync } from "node:fs";
import { SynclineError } from "../base/errors.ts";
import { printText } from "./terminal/text.ts";

/** What Node.js makes of bytes in arguments and in the current folder's path that are not UTF-8. */
const REPLACED = "\ufffd";

/** Throws `usage` for a path whose bytes are lost: something else would be made beside what it names. */
export function requireKnownBytes(path: string): void {
  if (!path.includes(REPLACED) || existsSync(path)) return;
  throw new SynclineError("usage", `${printText(path)} has bytes that are not UTF-8.`, {
    hint: "Rename it, or bind-mount it at another path.",
  });
}
