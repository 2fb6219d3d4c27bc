/** `syncline free`: frees the disk space that published files of a mount take on this machine. */
import type { FreeReport } from "../../agent/reports.ts";
import { command } from "../command.ts";
import { printBytes, printCount, printText } from "../terminal/text.ts";
import { pathsInMount } from "./paths-in-mount.ts";
import { askServing, longPatience } from "./running-agents.ts";

export const register = command({
  name: "free",
  arguments: [["<paths...>", "files or directories in one mount"]],
  summary: "free the space of published files on this machine; they stay in the bucket",
  examples: ["syncline free ~/bucket/videos"],
  exits: [4, 5, 6, 8],
  async run(call) {
    const { served, paths } = await pathsInMount(call);
    const report = await askServing<"free">(served, { call: "free", paths }, longPatience(call.runtime));
    call.output.result({ ...report }, freedText(report));
  },
});

export function freedText({ files, freedBytes, unpublished, pinned }: FreeReport): string {
  const parts = [`Freed ${printBytes(freedBytes)} of ${printCount(files, "file")}.`];
  if (unpublished.files > 0) {
    const [are, stay] = unpublished.files === 1 ? ["is", "stays"] : ["are", "stay"];
    const what = `${printCount(unpublished.files, "file")}, ${printBytes(unpublished.bytes)}`;
    parts.push(`${what} ${are} not published and ${stay}.`);
  }
  const [first, ...others] = pinned.map(printText);
  if (first !== undefined && others.length === 0) parts.push(`${first} is pinned and stays.`);
  else if (first !== undefined) parts.push(`${printCount(pinned.length, "path")} are pinned and stay.`);
  return parts.join(" ");
}
