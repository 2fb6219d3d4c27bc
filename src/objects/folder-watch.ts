/** Hints that a file changed, from the operating system where it gives any. */
import { type FSWatcher, watch } from "node:fs";

/** Calls `changed` on each event about `name`. Silent where watching does not work: whoever calls polls as well. */
export function watchFolder(folder: string, name: string, changed: () => void): Disposable {
  return watching(() =>
    watch(folder, { persistent: false }, (_event, file) => {
      if (file === null || file === name) changed();
    }),
  );
}

/** Hears of one file: calls `changed` on each event about it, its end included. As silent as `watchFolder`. */
export type WatchFile = (path: string, changed: () => void) => Disposable;

export const watchFile: WatchFile = (path, changed) => watching(() => watch(path, { persistent: false }, changed));

function watching(begin: () => FSWatcher): Disposable {
  try {
    const watcher = begin();
    watcher.on("error", () => watcher.close());
    return { [Symbol.dispose]: () => watcher.close() };
  } catch {
    return { [Symbol.dispose]: () => {} };
  }
}
