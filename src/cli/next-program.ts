/** Answers an agent that wants to hand over to this program (src/agent/threads/next-program.ts). */
import { loadAddon } from "../fuse/addon.ts";
import { STATE_FORMATS } from "../overlay/state-formats.ts";
import { type ExitStatus, exitStatusOf } from "./exit-status.ts";
import type { Runtime } from "./runtime.ts";
import { createOutput } from "./terminal/output.ts";

export function tellFormats(runtime: Runtime): ExitStatus {
  try {
    loadAddon();
  } catch (error) {
    createOutput(runtime, { json: false, verbose: false }).error(error);
    return exitStatusOf(error);
  }
  runtime.stdout.write(`${JSON.stringify(STATE_FORMATS)}\n`);
  return 0;
}
