/** An agent outlives the terminal, pipe or file that it was started with. */
import type { Log } from "../../base/log.ts";
import type { Call } from "../command.ts";
import { askNoMore } from "../wallet.ts";

/** Called once an agent serves: from now on it asks for no passphrase, and goes on if its output cannot be written. */
export function runUnattended(call: Call, log: Log): void {
  askNoMore(call);
  const { stdout } = call.runtime;
  stdout.removeAllListeners("error");
  let isTold = false;
  stdout.on("error", ({ message }: Error) => {
    if (!isTold) log.warn(`The output cannot be written any more: ${message}`);
    isTold = true;
  });
}
