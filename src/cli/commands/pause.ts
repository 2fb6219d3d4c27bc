/** `syncline pause`: stops a running agent from syncing until `syncline resume`. */
import { command } from "../command.ts";
import { printText } from "../terminal/text.ts";
import { ANSWER_MS, askServing, requireAgent } from "./running-agents.ts";

export const register = command({
  name: "pause",
  arguments: [["[dir]", "a mount, a synced folder or a WebDAV address; default: the only one"]],
  summary: "stop syncing in both directions; work goes on, and reads fetch what they need",
  options: ["for"],
  examples: ["syncline pause ~/bucket --for 2h"],
  exits: [6],
  async run({ args, options, output, runtime }) {
    const patience = { clock: runtime.clock, ms: ANSWER_MS };
    const served = await requireAgent(runtime, options.state, args[0]);
    const report = await askServing<"pause">(served, { call: "pause", forMs: options.for }, patience);
    const until = report.until === null ? "until `syncline resume`" : `until ${report.until}, or \`syncline resume\``;
    output.result({ mount: served.mount, ...report }, `Paused ${printText(served.mount)} ${until}.`);
  },
});
