/** Hints that a file changed, from the operating system where it gives any. */
import { type FSWatcher, watch } from "node:fs";
import { failedWith } from "../base/system-errors.ts";

/** Calls `changed` on each event about `name`. Silent where watching does not work: whoever calls polls as well. */
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
 * Hears of one file: calls `changed` on each event about it, its end included. "absent": there is no such file. Undefined where nothing
 * can be heard.
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
