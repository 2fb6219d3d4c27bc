/** Paths on this machine, as the command line gives them. */
import { existsSync } from "node:fs";
import { SynclineError } from "../base/errors.ts";
import { printText } from "./terminal/text.ts";

/** Node.js puts this in place of bytes that are not UTF-8, in arguments and in the working directory's path. */
const REPLACED = "\ufffd";

/** Throws `usage` if the path's real bytes are lost: what would be created is not what the user named. */
export function requireKnownBytes(path: string): void {
  if (!path.includes(REPLACED) || existsSync(path)) return;
  throw new SynclineError("usage", `${printText(path)} has bytes that are not UTF-8.`, {
    hint: "Rename it, or bind-mount it at another path.",
  });
}
