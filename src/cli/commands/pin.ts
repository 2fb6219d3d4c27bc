/** `syncline pin`: keeps files and directories of a mount on this machine. */
import type { PinsReport } from "../../agent/reports.ts";
import { SynclineError } from "../../base/errors.ts";
import { command } from "../command.ts";
import { printBytes, printCount } from "../terminal/text.ts";
import { pathsInMount } from "./paths-in-mount.ts";
import { askServing, longPatience } from "./running-agents.ts";
import { flushFirst } from "./target-path.ts";

const LOOK_MS = 200;

export const register = command({
  name: "pin",
  arguments: [["<paths...>", "files or directories in one mount"]],
  summary: "keep files on this machine: fetch them now, and each new version later",
  examples: ["syncline pin ~/bucket/notes.txt ~/bucket/thesis"],
  exits: [3, 4, 5, 6, 8],
  async run(call) {
    const { output, runtime } = call;
    const { target, served, paths } = await pathsInMount(call);
    // Pins are looked up in the published tree.
    await flushFirst(target, runtime);
    const patience = longPatience(runtime);
    let report = await askServing<"pin">(served, { call: "pin", paths }, patience);
    using progress = output.progress("pin");
    while (report !== null && !report.complete) {
      stopOn(report);
      progress.update({ bytes: report.keptBytes }, { bytes: report.bytes });
      await runtime.clock.sleep(LOOK_MS);
      report = (await askServing<"status">(served, { call: "status" }, patience)).pins;
    }
    progress[Symbol.dispose]();
    const { files = 0, bytes = 0, keptBytes = 0 } = report ?? {};
    const all = `${printCount(files, "file")}, ${printBytes(bytes)}`;
    output.result({ files, bytes, keptBytes }, `Pinned. All pins: ${all}; ${printBytes(keptBytes)} are here.`);
  },
});

function stopOn({ error }: PinsReport): void {
  if (error === null) return;
  const again = "The pin stays, and fetching is retried: see `syncline status`.";
  throw new SynclineError(error.code, error.message, { hint: error.hint === null ? again : `${error.hint} ${again}` });
}
