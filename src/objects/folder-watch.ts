/** Hints from the operating system that a file changed, where available. */
import { type FSWatcher, watch } from "node:fs";
import { failedWith } from "../base/system-errors.ts";

/** Calls `changed` on each event about `name`. Silent where watching does not work, so callers must poll too. */
export function watchFolder(folder: string, name: string, changed: () => void): Disposable {
  try {
    return watching(
      watch(folder, { persistent: false }, (_event, file) => {
        if (file === null || file === name) changed();
      }),
    );
  } catch {
    return { [Symbol.dispose]: () => {} };
  }
}

/**
 * Watches one file: calls `changed` on each event about it, including its deletion. "absent": there is no such file.
 * Undefined: watching is impossible.
 */
export type WatchFile = (path: string, changed: () => void) => Disposable | "absent" | undefined;

export const watchFile: WatchFile = (path, changed) => {
  try {
    return watching(watch(path, { persistent: false }, changed));
  } catch (cause) {
    return failedWith(cause, "ENOENT", "ENOTDIR") ? "absent" : undefined;
  }
};

function watching(watcher: FSWatcher): Disposable {
  watcher.on("error", () => watcher.close());
  return { [Symbol.dispose]: () => watcher.close() };
}
