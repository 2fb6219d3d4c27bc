/** The writers of this machine and user: those whose devices lie in states here. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { WriterId } from "../base/ids.ts";
import { writerOfState } from "./device.ts";

/** Of mounts, and of commands without one. `root` is the folder of all states; none is no error. */
export function ownWriters(root: string): ReadonlySet<WriterId> {
  const writers = foldersIn(root).flatMap((state) => [state, ...foldersIn(state)].map(writerOfState));
  return new Set(writers.filter((writer) => writer !== undefined));
}

function foldersIn(path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(path, name));
  } catch {
    return [];
  }
}
