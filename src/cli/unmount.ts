/** `syncline unmount`: publishes what is pending, unmounts, ends the agent, and waits for all of it. */
import { askAgent } from "../agent/control.ts";
import { addCommand } from "./command.ts";
import type { Program } from "./command.ts";
import { requireMount } from "./running-agents.ts";
import { printBytes } from "./text.ts";

const DEFAULT_TIMEOUT_S = 60;

export function register(program: Program): void {
  addCommand(program, {
    name: "unmount",
    arguments: [["<dir>", "the mount"]],
    summary: "publish what is pending, then unmount",
    options: ["timeout"],
    examples: ["syncline unmount ~/bucket", "syncline unmount ~/bucket --timeout 5"],
    exits: [3, 4],
    async run({ args, options, output, runtime }) {
      const [mount] = requireMount(runtime, options.state, args[0] ?? "");
      if (mount === undefined) return;
      const timeoutMs = (options.timeout ?? DEFAULT_TIMEOUT_S) * 1000;
      const report = await askAgent<"unmount">(mount.stateDir, { call: "unmount", timeoutMs });
      const { files, bytes } = report.pending;
      const kept = `${files} files, ${printBytes(bytes)} are not published. They are kept in ${mount.stateDir} and go on at the next mount.`;
      output.result(report, report.drained ? `Unmounted ${mount.mount}` : `Unmounted ${mount.mount}, but ${kept}`);
      return report.drained ? 0 : 3;
    },
  });
}
