/** `syncline resume`: lets a paused agent sync again. */
import { command } from "../command.ts";
import { printText } from "../terminal/text.ts";
import { ANSWER_MS, askServing, requireAgent } from "./running-agents.ts";

export const register = command({
  name: "resume",
  arguments: [["[dir]", "a mount, a synced folder or a WebDAV address; default: the only one"]],
  summary: "sync again after a pause",
  examples: ["syncline resume ~/bucket"],
  exits: [6],
  async run({ args, options, output, runtime }) {
    const patience = { clock: runtime.clock, ms: ANSWER_MS };
    const served = await requireAgent(runtime, options.state, args[0]);
    const { wasPaused } = await askServing<"resume">(served, { call: "resume" }, patience);
    const text = wasPaused ? `Resumed ${printText(served.mount)}.` : `${printText(served.mount)} was not paused.`;
    output.result({ mount: served.mount, wasPaused }, text);
  },
});
