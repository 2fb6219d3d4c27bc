/**
 * Keeps compiled code in a folder, so that later starts need not compile it again, which took a third of a start. Node.js ignores
 * what does not fit the source, its own version or its flags. Users who did not build the program compile at each start.
 */
import { mkdirSync } from "node:fs";
import module from "node:module";

let folder: string | undefined;

/**
 * Makes this process use and fill the folder, if it can. Call before the rest is imported. Code from there runs as this user,
 * so a new folder is closed to all others, whatever the umask says.
 */
export function keepCompiledCode(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch {
    return;
  }
  module.enableCompileCache(path);
  folder = path;
}

/** The environment of a thread that uses the folder, too. */
export function threadEnv(): NodeJS.ProcessEnv {
  return folder === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: folder };
}

/** Writes what this thread has compiled so far. By itself Node.js does that at its end, and never after a kill. */
export function saveCompiledCode(): void {
  if (module.getCompileCacheDir() !== undefined) module.flushCompileCache();
}
