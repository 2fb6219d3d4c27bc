/** `syncline unpin`: no longer keeps files and directories on this machine. */
import { command } from "../command.ts";
import { printCount } from "../terminal/text.ts";
import { pathsInMount } from "./paths-in-mount.ts";
import { askServing, longPatience } from "./running-agents.ts";

export const register = command({
  name: "unpin",
  arguments: [["<paths...>", "pinned paths of one mount"]],
  summary: "no longer keep pinned files on this machine",
  examples: ["syncline unpin ~/bucket/photos"],
  exits: [4, 6],
  async run(call) {
    const { served, paths } = await pathsInMount(call);
    const report = await askServing<"unpin">(served, { call: "unpin", paths }, longPatience(call.runtime));
    const left = report?.paths.length ?? 0;
    call.output.result({ left }, `Unpinned. Still pinned: ${left === 0 ? "nothing" : printCount(left, "path")}.`);
  },
});
