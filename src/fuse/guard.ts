/** The guard of a mount (native/guard.cc): a small process that aborts the mount's connection if this one is killed. */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { describeError, type Log } from "../base/log.ts";
import type { FuseAddon } from "./addon.ts";

/** Starts the guard of a new mount; disposing it ends the guard. If it cannot run, the log says what that means. */
export function startGuard(addon: FuseAddon, mountPoint: string, log: Log): Disposable {
  const missing = (error: unknown) =>
    log.warn("the mount has no guard: if this agent is killed, programs may hang in the mount until it is aborted", {
      error: describeError(error),
    });
  try {
    const abort = addon.openAbort(mountPoint);
    try {
      return run(abort, missing);
    } finally {
      addon.close(abort);
    }
  } catch (error) {
    missing(error);
    return { [Symbol.dispose]: () => {} };
  }
}

function run(abort: number, missing: (error: unknown) => void): Disposable {
  const path = createRequire(import.meta.url).resolve("#fuse-guard");
  // Its input ends when this process ends for any reason. A terminal's Ctrl-C must not reach it.
  const guard = spawn(path, { stdio: ["pipe", "ignore", "ignore", abort], detached: true });
  guard.once("error", missing);
  guard.stdin?.on("error", () => {});
  guard.unref();
  return { [Symbol.dispose]: () => guard.stdin?.destroy() };
}
