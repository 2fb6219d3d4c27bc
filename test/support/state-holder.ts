/** Holds a mount's state in a separate process: reports "held" or the error's code, and ends when its channel closes. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { SynclineError } from "../../src/base/errors.ts";
import { openMountState } from "../../src/agent/state/state-dir.ts";
import { silentLog } from "../../src/base/log.ts";

const [root = "", address = "", mount = ""] = process.argv.slice(2);
try {
  openMountState(root, { address, mount }).list(silentLog);
  // The state must stay held even if the returned lock is garbage-collected.
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  await new Promise(setImmediate);
  process.send?.("held");
  process.on("disconnect", () => process.exit());
} catch (error) {
  process.send?.(error instanceof SynclineError ? error.code : String(error));
  process.disconnect();
}
