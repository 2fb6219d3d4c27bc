/** `syncline status`: what agents run, what they have published, what waits, and why. Only reads. */
import { hasCode } from "../base/errors.ts";
import { askAgent } from "../agent/control.ts";
import type { AgentStatus } from "../agent/reports.ts";
import { addCommand } from "./command.ts";
import type { Program } from "./command.ts";
import { mountStates, requireMount } from "./running-agents.ts";
import { printBytes, printDuration } from "./text.ts";

export function register(program: Program): void {
  addCommand(program, {
    name: "status",
    arguments: [["[dir]", "a mount; all when absent"]],
    summary: "show mounts, and what is published and what waits",
    examples: ["syncline status", "syncline status ~/bucket --json"],
    async run({ args, options, output, runtime }) {
      const [directory] = args;
      const states =
        directory === undefined
          ? mountStates(runtime, options.state, undefined)
          : requireMount(runtime, options.state, directory);
      const agents: AgentStatus[] = [];
      for (const { stateDir } of states) {
        const agent = await ask(stateDir);
        if (agent !== undefined) agents.push(agent);
      }
      if (directory !== undefined && agents.length === 0)
        requireMount(runtime, options.state, `${directory} (no agent runs)`);
      output.result({ agents }, agents.map(textOf).join("\n\n") || "No mounts.");
    },
  });
}

async function ask(stateDir: string): Promise<AgentStatus | undefined> {
  try {
    return await askAgent<"status">(stateDir, { call: "status" });
  } catch (error) {
    if (hasCode(error, "no_agent")) return undefined;
    throw error;
  }
}

function textOf(agent: AgentStatus): string {
  const { mount, bucket, pid, online, pending, lastError, conflicts, root, cache } = agent;
  const waiting =
    pending.files === 0
      ? "everything is published"
      : `${pending.files} files, ${printBytes(pending.bytes)}, oldest ${printDuration(pending.oldestMs)}`;
  const lines = [
    `${mount}  (process ${pid})`,
    `  bucket     ${bucket}`,
    `  state      ${online ? "online" : "offline"}, root ${root ?? "unknown"}`,
    `  pending    ${waiting}`,
    `  cache      ${printBytes(cache.bytes)} of ${printBytes(cache.limit)}`,
  ];
  if (conflicts.length > 0) lines.push(`  conflicts  ${conflicts.length}, newest: ${conflicts.at(-1)?.path}`);
  if (lastError !== null) lines.push(`  problem    ${lastError.message}`);
  if (lastError?.hint) lines.push(`             ${lastError.hint}`);
  return lines.join("\n");
}
