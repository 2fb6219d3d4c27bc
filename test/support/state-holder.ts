/** Holds a mount's state in a process of its own: says "held" or the error's code, and ends when its channel closes. */
import { SynclineError } from "../../src/base/errors.ts";
import { openMountState } from "../../src/agent/state-dir.ts";

const [root = "", address = "", mount = ""] = process.argv.slice(2);
try {
  openMountState(root, { address, mount }).list();
  process.send?.("held");
  process.on("disconnect", () => process.exit());
} catch (error) {
  process.send?.(error instanceof SynclineError ? error.code : String(error));
  process.disconnect();
}
