/** `syncline upgrade`: replaces a running agent by the one on disk; programs in the mount wait meanwhile. */
import { askAgent } from "../../agent/control.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import { command } from "../command.ts";
import { ANSWER_MS, askServing, requireAgent } from "./running-agents.ts";
import { printText } from "../terminal/text.ts";

/** How long the next agent may take to start. */
const START_MS = 60_000;
const LOOK_MS = 50;

export const register = command({
  name: "upgrade",
  arguments: [["[dir]", "a mount; default: the only one"]],
  summary: "replace a running agent by the one on disk; programs in the mount wait meanwhile",
  options: [],
  examples: ["syncline upgrade ~/bucket"],
  exits: [4, 6],
  async run({ args, options, output, runtime }) {
    const { clock } = runtime;
    const served = await requireAgent(runtime, options.state, args[0]);
    const { pid: before } = await askServing<"status">(served, { call: "status" }, { clock, ms: ANSWER_MS });
    const beganMs = clock.monotonicMs();
    await askAgent<"handOver">(served.stateDir, { call: "handOver" }, { clock, ms: ANSWER_MS, isLong: true });
    const pid = await nextAgent(served.stateDir, before, clock);
    const ms = Math.round(clock.monotonicMs() - beganMs);
    output.result(
      { mount: served.mount, before, pid, ms },
      `Replaced the agent of ${printText(served.mount)} in ${ms} ms. Process ID: ${pid}.`,
    );
    return 0;
  },
});

/** Its process ID, once it answers. Throws `time_out`. */
async function nextAgent(stateDir: string, before: number, clock: Clock): Promise<number> {
  const endMs = clock.monotonicMs() + START_MS;
  while (clock.monotonicMs() < endMs) {
    await clock.sleep(LOOK_MS);
    try {
      const { pid } = await askAgent<"status">(stateDir, { call: "status" }, { clock, ms: ANSWER_MS });
      if (pid !== before) return pid;
    } catch (error) {
      if (!hasCode(error, "no_agent", "time_out")) throw error;
    }
  }
  throw new SynclineError("time_out", `The next agent did not answer within ${START_MS / 1000} s.`, {
    hint: "See agent.log in the state folder: `syncline status` shows where.",
  });
}
