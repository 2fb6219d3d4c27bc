/** `syncline doctor`: what this machine can and cannot do, with advice. */
import { examine } from "../../agent/doctor.ts";
import { stateRoot } from "../../agent/state/state-dir.ts";
import { loadAddon } from "../../fuse/addon.ts";
import { addCommand } from "../command.ts";
import type { Program } from "../command.ts";
import { keyPathOf } from "../wallet.ts";

export function register(program: Program): void {
  addCommand(program, {
    name: "doctor",
    summary: "check what this machine supports, and how to fix what is missing",
    examples: ["syncline doctor", "syncline doctor --json"],
    async run(call) {
      const { options, output, runtime } = call;
      const env = runtime.environmentKey === undefined ? runtime.env : { ...runtime.env, SYNCLINE_KEY: "set" };
      const findings = examine({
        env,
        stateRoot: stateRoot(runtime.env, options.state),
        keyFile: keyPathOf(call),
        loadAddon: () => void loadAddon(),
      });
      const lines = findings.map(({ what, state, detail, advice }) => {
        const mark = { good: "ok     ", limited: "limited", bad: "bad    " }[state];
        return `${mark}  ${what.padEnd(13)} ${detail}${advice === undefined ? "" : `\n                        ${advice}`}`;
      });
      output.result({ findings }, lines.join("\n"));
      return findings.some(({ state }) => state === "bad") ? 1 : 0;
    },
  });
}
