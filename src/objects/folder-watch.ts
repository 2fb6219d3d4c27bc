/** Hints that a file in a folder changed, from the operating system where it gives any. */
import { watch } from "node:fs";

/** Calls `changed` on each event about `name`. Silent where watching does not work: whoever calls polls as well. */
export function watchFolder(folder: string, name: string, changed: () => void): Disposable {
  try {
    const watcher = watch(folder, { persistent: false }, (_event, file) => {
      if (file === null || file === name) changed();
    });
    watcher.on("error", () => watcher.close());
    return { [Symbol.dispose]: () => watcher.close() };
  } catch {
    return { [Symbol.dispose]: () => {} };
  }
}
