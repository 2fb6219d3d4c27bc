/** `syncline flush`: waits until everything that was written is in the bucket. */
import { SynclineError } from "../base/errors.ts";
import { askAgent } from "../agent/control.ts";
import { addCommand } from "./command.ts";
import type { Program } from "./command.ts";
import { requireMount } from "./running-agents.ts";
import { printBytes } from "./text.ts";

export function register(program: Program): void {
  addCommand(program, {
    name: "flush",
    arguments: [["[dir]", "a mount; the only one when absent"]],
    summary: "publish what is pending, and wait for it",
    options: ["allowDeletes"],
    examples: ["syncline flush", "syncline flush ~/bucket --json"],
    exits: [3, 4, 6, 7],
    async run({ args, options, output, runtime }) {
      const found = requireMount(runtime, options.state, args[0]);
      const [only] = found;
      if (found.length > 1 || only === undefined)
        throw new SynclineError("usage", "There are several mounts: say which one.");
      const report = await askAgent<"flush">(only.stateDir, { call: "flush" });
      const { published, root, pending } = report;
      const waiting = `${pending.files} files, ${printBytes(pending.bytes)} wait`;
      output.result(report, published ? `Published: root ${root}` : `Not published: ${waiting}. See syncline status.`);
      return published ? 0 : 3;
    },
  });
}
