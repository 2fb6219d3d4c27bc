/** `syncline unmount`: publishes what is pending, unmounts, ends the agent, and waits for all of it. */
import { command } from "../command.ts";
import { DRAIN_MS } from "../../base/limits.ts";
import { leftText } from "./held-deletions.ts";
import { askServing, longPatience, publishHint, requireAgent } from "./running-agents.ts";
import { printText } from "../terminal/text.ts";
import { WEBDAV_PLACE } from "../../agent/state/state-dir.ts";

/** Why mounting again does not publish what is left. */
const NOT_BY_MOUNTING: ReadonlySet<string> = new Set(["root_rolled_back", "foreign_bucket"]);

function endedText(place: string): string {
  if (!place.startsWith(WEBDAV_PLACE)) return `Unmounted ${printText(place)}`;
  return `Stopped the WebDAV server at ${printText(place.slice(WEBDAV_PLACE.length))}`;
}

export const register = command({
  name: "unmount",
  arguments: [["<dir>", "a mount, a synced folder or a WebDAV address"]],
  summary: "publish pending changes, then unmount and end the agent",
  options: ["drain"],
  examples: ["syncline unmount ~/bucket", "syncline unmount http://127.0.0.1:8888/"],
  exits: [3, 4, 6],
  async run({ args, options, output, runtime }) {
    const served = await requireAgent(runtime, options.state, args[0] ?? "");
    const drainMs = options.drain === undefined ? undefined : options.drain * 1_000;
    const request = { call: "unmount", drainMs, timeoutMs: drainMs ?? DRAIN_MS } as const;
    const report = await askServing<"unmount">(served, request, longPatience(runtime));
    const { code, hint } = report.error ?? {};
    const next = code !== undefined && NOT_BY_MOUNTING.has(code) ? printText(hint ?? "") : publishHint(served.mount);
    const rest = leftText(report, `They are kept in ${printText(served.stateDir)}. ${next}`);
    output.result(report, `${endedText(served.mount)}${report.drained ? "" : `. ${rest}`}`);
    return report.drained ? 0 : 3;
  },
});
